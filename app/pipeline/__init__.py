"""A job, from sources to a finished run. `step` is the page to read first."""
