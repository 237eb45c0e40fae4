"""What every room of transforms stands on: stores, code points, the coder, progress, memory, threads."""
