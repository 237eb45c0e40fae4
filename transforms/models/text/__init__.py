"""Texts as models take them: pieces, windows, batches, marked pairs."""
