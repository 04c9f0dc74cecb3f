"""Is the person of a picture among these people at all? The open-set half of searching, in NumPy.

Of any picture somebody is the most similar. What tells a person who is there from one who is not is how far the most
similar one stands out: its similarity less the mean of the next `COHORT` (the test normalisation of speaker
recognition: Auckenthaler et al., 2000). A lawn, a blurred picture or a uniform resembles many alike and stands out from
nobody.

How far people who are absent stand out is learnt from the run: each of its people is looked for among all the others.
The largest of many similarities follows Gumbel's law, fitted here by median and quartiles, since some of those "absent"
people are there under a second number. A run of few people says little, so that the law is drawn towards the one of
people of Market-1501 (test) and five other places, who took no part in the training of the bundled weights; that one
holds for runs of 4 to 100 people (tests/bench/bench_open_search.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.runs.people.bands import BANDS

COHORT = 10
"""So many of the next most similar people say how similar anybody is."""

FALSE_ACCEPTS = 0.01
"""Share of absent people who are shown as somebody at the default threshold."""

PRESENT = 0.25
"""Share of searches whose person is there, beforehand: most people are not in most runs."""

ABSENT_MODE, ABSENT_SPREAD = 0.155, 0.072
"""Gumbel's location and scale for people of held-out data who are absent from a run of `USUAL_PEOPLE`."""

PRESENT_MEAN, PRESENT_DEVIATION = 0.56, 0.115
"""The same for people who are there, in a picture of a camera that did not see them in the run: a normal law."""

USUAL_PEOPLE = 8
CROWDING = 0.07
"""Among twice as many people somebody stands out by this share less: the next ones are more alike, too."""

ASSUMED_PEOPLE = 40
"""So many people of a run weigh as much as the held-out law."""

FEW_PEOPLE = 4
"""With fewer people to compare with, how far somebody stands out means less: the law is half as wide again."""

_LOW, _MEDIAN = -math.log(math.log(4)), -math.log(math.log(2))
"""The first quartile and the median of Gumbel's law with location 0 and scale 1."""


def standing_out(similarities: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return how far each of N people stands out among all, in the measure of the law: (N,) for (N,) similarities.

    Each is compared with the mean of the `COHORT` most similar ones after the first; of a single person with 0, the
    similarity of strangers about a centre.
    """
    best = np.sort(similarities)[::-1]
    others = best[1 : 1 + COHORT]
    return np.asarray(similarities - (others.mean() if len(others) else 0.0), np.float64)


@dataclass(frozen=True, slots=True)
class Nobody:
    """How far the most similar of a run's people stands out for a person who is not among them.

    mode, spread: location and scale of Gumbel's law.  present: how far people stand out who are there, on average.
    people: of the run that it was learnt from; the rest is assumed.
    """

    mode: float
    spread: float
    present: float
    people: int

    @classmethod
    def of(cls, absent: NDArray[np.floating[Any]], compared: int) -> Nobody:
        """Return the law of a run. absent: (n,) how far the most similar other stands out for each of n people.
        compared: how many people there are to stand out from.

        Only the lower half of `absent` is read: in the upper half are those who are there under a second number.
        """
        crowd = max(1 - CROWDING * max(0.0, math.log2(max(compared, 1) / USUAL_PEOPLE)), 0.4)
        mode, spread = ABSENT_MODE * crowd, ABSENT_SPREAD * crowd
        if len(absent) >= FEW_PEOPLE:
            low, median = np.quantile(absent, [0.25, 0.5]).tolist()
            own = (median - low) / (_MEDIAN - _LOW)
            weight = len(absent) / (len(absent) + ASSUMED_PEOPLE)
            spread += weight * (own - spread)
            mode += weight * (median - _MEDIAN * own - mode)
        if compared < FEW_PEOPLE:
            spread *= 1.5
        return cls(mode, spread, PRESENT_MEAN * crowd**2, len(absent))

    def false_accept_rate(self, distance: float) -> float:
        """Return the share of absent people of whom somebody stands out at least so far."""
        return -math.expm1(-math.exp(min(-(distance - self.mode) / self.spread, 700.0)))

    def threshold(self, rate: float = FALSE_ACCEPTS) -> float:
        """Return from where on somebody is shown, so that this share of absent people is; infinite if nobody can be."""
        by_rate = self.mode - self.spread * math.log(-math.log1p(-rate))
        # A person who is shown is at least likely: the words and the answer do not contradict each other.
        steps = np.linspace(by_rate, max(self._surest, by_rate), 200)
        likely = self.probability(steps) >= BANDS[1][1]
        return float(steps[likely.argmax()]) if likely.any() else math.inf

    @property
    def _surest(self) -> float:
        """Where the probability is highest: beyond, the tails of the laws say nothing."""
        return self.present + PRESENT_DEVIATION**2 / self.spread

    def probability(self, distances: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return P(this is the person) for people who stand out so far, of any shape."""
        distance = np.minimum(np.asarray(distances, np.float64), self._surest)
        present = -(((distance - self.present) / PRESENT_DEVIATION) ** 2) / 2 - math.log(
            PRESENT_DEVIATION * math.sqrt(2 * math.pi)
        )
        # The law's upper tail, which lies above it everywhere: so the probability only rises.
        absent = -(distance - self.mode) / self.spread - math.log(self.spread)
        # Below the place where absent people usually are, nothing speaks for anybody.
        log_odds = np.where(distance > self.mode, present - absent, -20.0) + math.log(PRESENT / (1 - PRESENT))
        return np.asarray(1 / (1 + np.exp(-log_odds)), np.float64)
