"""The plan of a dataset: its sources, shards and receipts, and how all of it is read back."""
