"""`klue-beam verify DIR`: prove that each input record is in a dataset exactly once."""
