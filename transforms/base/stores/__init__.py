"""Where files lie: the one room that knows. Everything else names files by keys of a store."""
