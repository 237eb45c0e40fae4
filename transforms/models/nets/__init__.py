"""The layers of a model: encoder, heads, and the forms that they run in."""
