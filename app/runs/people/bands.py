"""How a probability is said: in four bands, since two digits promise more than looks can tell.

Whatever compares people says the band first. The bounds are where the words change; a test holds the documentation of
`main.py search --help` to them.
"""

from __future__ import annotations

from typing import Literal

Band = Literal["very likely", "likely", "can't say", "unlikely"]

BANDS: tuple[tuple[Band, float], ...] = (("very likely", 0.95), ("likely", 0.8), ("can't say", 0.4), ("unlikely", 0.0))
"""Each band with the probability from which on it is said."""

MEANING = ", ".join(f"“{name}” from {least:g}" for name, least in BANDS[:-1]) + f", “{BANDS[-1][0]}” below that"


def band(probability: float) -> Band:
    """Return the band of a probability in [0, 1]."""
    return next(name for name, least in BANDS if probability >= least or least == 0.0)
