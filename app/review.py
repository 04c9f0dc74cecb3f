"""Corrections by humans: which links are worth a look, and what a yes or a no to one of them writes into the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.errors import InputError
from app.identities import Event, Identities, Key
from app.ledger import Ledger
from app.people import Person


@dataclass(frozen=True, slots=True)
class Link:
    """Why a tracklet belongs to its person: the tracklet `other` of the same person, and what spoke for it.

    p_same, runner_up: P(same person) of this link and of the best one that was not taken.  event: in the ledger.
    """

    own: Key
    other: Key
    person: int
    p_same: float
    runner_up: float
    gates: tuple[str, ...]
    event: int

    @property
    def pair(self) -> tuple[Key, Key]:
        first, second = sorted([self.own, self.other])
        return first, second


def links_in_force(people: Mapping[int, Person], evidence: Mapping[Key, Event]) -> list[Link]:
    """Return the links between tracklets that belong to the same person now, the least certain first.

    A link is named once, although both its tracklets may have it as evidence.
    """
    owner = {visit.key: person.id for person in people.values() for visit in person.visits}
    links: dict[tuple[Key, Key], Link] = {}
    for own, event in evidence.items():
        values: Mapping[str, Any] = event.evidence
        if "with" not in values:
            continue
        other = (str(values["with"][0]), int(values["with"][1]))
        if owner.get(own, -1) != owner.get(other, -2):
            continue
        gates = tuple(map(str, values.get("gates", ())))
        link = Link(own, other, owner[own], float(values["p_same"]), float(values["runner_up"]), gates, event.id)
        links.setdefault(link.pair, link)
    return sorted(links.values(), key=lambda link: (link.p_same, link.pair))


def open_questions(links: list[Link], identities: Identities) -> list[Link]:
    """Return the links that no human has confirmed or rejected yet."""
    decided = {*identities.confirmed, *identities.rejected}
    return [link for link in links if link.pair not in decided]


def last_correction(ledger: Ledger) -> list[Event]:
    """Return the latest decision of a human that is in force and can be undone: events that were one step.

    Empty if there is none.
    """
    undone = ledger.undone()
    steps = [event for event in ledger.corrections() if event.kind not in ("undo", "erase") and event.id not in undone]
    if not steps:
        return []
    last = steps[-1]
    return [event for event in steps if (event.time, event.actor) == (last.time, last.actor)]


def undo_last(ledger: Ledger, actor: str) -> str:
    """Take the latest decision of a human back and return a sentence about it. Raises InputError if there is none."""
    events = last_correction(ledger)
    if not events:
        raise InputError("There is no correction to undo.")
    ledger.append([Event("undo", actor, target=event.id) for event in reversed(events)])
    return f"Undone: {' and '.join(event.kind for event in events)}."
