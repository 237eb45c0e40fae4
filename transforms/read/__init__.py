"""From the range of a source to chunks of documents."""
