"""What changes or drops text before it is annotated, one file a cleaner."""
