"""From annotated rows to published files, each with its receipt."""
