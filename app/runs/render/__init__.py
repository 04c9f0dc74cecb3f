"""Pictures and videos of a run, drawn or made unrecognisable."""
