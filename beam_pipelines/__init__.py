"""Graphs, their options and the command line: what puts the transforms to work. Imports transforms and schemas."""
