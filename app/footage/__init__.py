"""Images in: sources of every kind, the shared clock, decoding and encoding."""
