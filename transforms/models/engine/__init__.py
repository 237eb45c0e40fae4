"""Loaded models that annotate texts."""
