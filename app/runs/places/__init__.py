"""The places of a run: counts in zones and over lines, ways between cameras, heat maps."""
