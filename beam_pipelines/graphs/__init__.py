"""Beam graphs."""
