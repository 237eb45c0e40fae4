"""The tasks: a folder each, with an object that says everything of it; base.py tells what such an object has."""
