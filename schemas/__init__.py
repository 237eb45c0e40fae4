"""What flows through klue-beam and what it stores. Imports pyarrow and the standard library only."""
