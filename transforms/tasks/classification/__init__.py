"""Texts that get one label each: what every such task shares, from a file of labelled rows to scores."""
