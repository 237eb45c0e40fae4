"""The sentence splitters, one file each, and what they share: spans, pieces and realignment."""
