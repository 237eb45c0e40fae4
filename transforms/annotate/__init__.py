"""From sentences to annotated rows."""
