"""A dataset written for other programs."""
