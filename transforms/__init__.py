"""One file per stage: a pure function and, under it, its thin Beam transform."""
