"""A dataset held against its plan and its sources."""
