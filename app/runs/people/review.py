"""Corrections by humans: which links are worth a look, and what a yes or a no to one of them writes into the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.config import LinkSettings
from app.footage.clock import format_time
from app.frames import TrackletKey
from app.runs.ledger.identities import WHOLE, Event, Identities
from app.runs.ledger.ledger import Ledger
from app.runs.people.bands import band
from app.runs.people.visits import Person
from app.track.linking.margin import stands_out

SURE = ("very likely", "likely")


@dataclass(frozen=True, slots=True)
class Link:
    """Why a tracklet belongs to its person: the tracklet `other` of the same person, and what spoke for it.

    p_same, runner_up: P(same person) of this link and of the best one that was not taken.  event: in the ledger; 0 for
    a link that was not made.  made: whether they are one person now; else `person` is whose `own` is.
    """

    own: TrackletKey
    other: TrackletKey
    person: int
    p_same: float
    runner_up: float
    gates: tuple[str, ...]
    event: int
    made: bool = True
    by_small_margin: bool = False
    """Whether somebody else was about as likely (`link.min_margin`)."""

    @property
    def is_doubtful(self) -> bool:
        """Whether it is less than likely, or somebody else looks nearly as much like it."""
        if not self.made:
            return False
        return self.by_small_margin or band(self.p_same) not in SURE

    @property
    def certainty(self) -> float:
        """How sure the program is of what it did, for the order in which a human looks at links."""
        if not self.made:
            return 1 - self.p_same
        return self.p_same - max(0.0, self.runner_up - self.p_same)

    @property
    def pair(self) -> tuple[TrackletKey, TrackletKey]:
        first, second = sorted([self.own, self.other])
        return first, second


def links_in_force(people: Mapping[int, Person], evidence: Mapping[TrackletKey, Event]) -> list[Link]:
    """Return the links between tracklets that belong to the same person now, the least certain first.

    A link is named once, although both its tracklets may have it as evidence.
    """
    owner = {visit.key: person.id for person in people.values() for visit in person.visits}
    links: dict[tuple[TrackletKey, TrackletKey], Link] = {}
    for own, event in evidence.items():
        values: Mapping[str, Any] = event.evidence
        if "with" not in values:
            continue
        other = (str(values["with"][0]), int(values["with"][1]))
        if owner.get(own, -1) != owner.get(other, -2):
            continue
        gates = tuple(map(str, values.get("gates", ())))
        p_same, runner_up = float(values["p_same"]), float(values["runner_up"])
        doubtful = bool(values.get("doubtful", not stands_out(p_same, runner_up, LinkSettings().min_margin)))
        link = Link(own, other, owner[own], p_same, runner_up, gates, event.id, by_small_margin=doubtful)
        links.setdefault(link.pair, link)
    return sorted(links.values(), key=lambda link: (link.p_same, link.pair))


def links_not_made(
    people: Mapping[int, Person], proposals: Iterable[tuple[TrackletKey, TrackletKey, float]], identities: Identities
) -> list[Link]:
    """Return the proposals of the last link stage that still stand between two people, the likeliest first.

    Whoever was rejected as a pair, by any of their tracklets, is not asked about again.
    """
    owner = {visit.key: person.id for person in people.values() for visit in person.visits}
    refused = {frozenset((owner.get(a), owner.get(b))) for a, b in identities.rejected}
    links: dict[frozenset[int], Link] = {}
    for own, other, p_same in proposals:
        if own in owner and other in owner and owner[own] != owner[other]:
            both = frozenset((owner[own], owner[other]))
            if both not in refused:
                links.setdefault(both, Link(own, other, owner[own], p_same, 0.0, (), 0, made=False))
    return list(links.values())


def open_questions(links: Sequence[Link], identities: Identities) -> list[Link]:
    """Return the links, made and not, that no human has confirmed or rejected yet; the most doubtful first."""
    decided = {*identities.confirmed, *identities.rejected}
    return sorted((link for link in links if link.pair not in decided), key=lambda link: (link.certainty, link.pair))


def doubtful_people(links: Sequence[Link], identities: Identities) -> dict[int, list[Link]]:
    """Return the people whom a doubtful link holds together that no human has confirmed, with those links."""
    doubtful: dict[int, list[Link]] = {}
    for link in links:
        if link.is_doubtful and link.pair not in identities.confirmed:
            doubtful.setdefault(link.person, []).append(link)
    return doubtful


def last_correction(ledger: Ledger, actor: str | None = None) -> list[Event]:
    """Return the latest decision of a human that is in force and can be undone: events that were one step.

    actor: of this human; None: of anybody. Empty if there is none.
    """
    undone = ledger.undone()
    steps = [
        event
        for event in ledger.corrections()
        if event.kind not in ("undo", "erase") and event.id not in undone and actor in (None, event.actor)
    ]
    if not steps:
        return []
    last = steps[-1]
    return [event for event in steps if (event.time, event.actor) == (last.time, last.actor)]


def describe(event: Event) -> str:
    """Say in words what a human decided."""
    own = f"{event.camera}, track {event.track_id}"
    other = f"{event.other_camera}, track {event.other_track_id}"
    at = "" if event.at_s == WHOLE else format_time(event.at_s).removesuffix(" UTC")
    return {
        "assign": f"gave {own} to person {event.person}",
        "merge": f"merged person {event.person} into person {event.other_person}",
        "split": f"split {own} at {at}: person {event.person} from there on"
        if at
        else f"took {own} out as person {event.person}",
        "confirm": f"confirmed {own} with {other}",
        "reject": f"rejected {own} with {other}",
        "name": f"named person {event.person} “{event.text}”"
        if event.text
        else f"named person {event.person} (no name is kept)",
        "erase": f"erased person {event.person}",
        "undo": f"undid decision {event.target}",
    }[event.kind]


def in_words(events: Sequence[Event]) -> str:
    """Say what the events of one step decided: “merged person 2 into person 1”."""
    return " and ".join(describe(event) for event in events)
