"""Model folders: found, hashed, loaded and saved."""
