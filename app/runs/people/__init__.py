"""The people of a run: linking, visits, search, corrections, review."""
