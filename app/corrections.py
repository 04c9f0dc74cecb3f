"""What a human can say about identities, in one place for the browser and the command line.

Each function checks that what is named exists, appends to the ledger and returns a sentence about what is so now.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from app.errors import InputError
from app.frames import NO_ID
from app.identities import WHOLE, Key
from app.ledger import Ledger
from app.review import undo_last

ACTIONS = {
    "merge": "PERSON INTO",
    "name": "PERSON TEXT",
    "split": "CAMERA TRACK [SECONDS]",
    "confirm": "CAMERA TRACK CAMERA TRACK",
    "reject": "CAMERA TRACK CAMERA TRACK",
    "undo": "[EVENT]",
}
"""What each correction is about, as the command line takes it."""


def merge(ledger: Ledger, person: int, into: int, actor: str) -> str:
    """Say that `person` is `into`, whose number and name stay."""
    ends, stays = _person(ledger, person), _person(ledger, into)
    if ends == stays:
        raise InputError(f"{person} and {into} are one person already")
    ledger.merge(ends, stays, actor)
    return f"Person {ends} and person {stays} are one person now: person {stays}."


def name(ledger: Ledger, person: int, text: str, actor: str) -> str:
    """Name a person; an empty text takes the name away."""
    number = _person(ledger, person)
    ledger.name(number, text, actor)
    return f"Person {number} is called {text.strip()} now." if text.strip() else f"Person {number} has no name now."


def split(ledger: Ledger, key: Key, at_s: float, actor: str) -> str:
    """Give the rows of a tracklet from `at_s` on (`WHOLE`: all of them) to a new person."""
    _, new = ledger.split(*_tracklet(ledger, key), at_s, actor)
    return f"This visit is person {new} now." if at_s == WHOLE else f"From there on it is person {new}."


def confirm(ledger: Ledger, first: Key, second: Key, actor: str) -> str:
    """Say that two tracklets show the same person."""
    ledger.confirm(_tracklet(ledger, first), _tracklet(ledger, second), actor)
    return "Confirmed: linking will keep this pair together."


def reject(ledger: Ledger, first: Key, second: Key, actor: str) -> str:
    """Say that two tracklets show different people, and make the first a person of its own."""
    ledger.separate(_tracklet(ledger, first), _tracklet(ledger, second), actor)
    return "Rejected: the visit is a person of its own now, and linking will keep the pair apart."


def undo(ledger: Ledger, event: int | None, actor: str) -> str:
    """Take back an event, or without one the latest correction that is in force."""
    if event is None:
        return undo_last(ledger, actor)
    ledger.undo(event, actor)
    return f"Decision {event} is undone."


def correct(ledger: Ledger, action: str, words: Sequence[str], actor: str) -> str:
    """Do what the words of a command say (`ACTIONS`). Raises InputError for words that do not fit."""

    def number(row: int) -> int:
        if not words[row].isdecimal():
            raise InputError(f"{action}: {words[row]!r} is no number; write {action} {ACTIONS[action]}")
        return int(words[row])

    def seconds(row: int) -> float:
        try:
            return float(words[row])
        except ValueError as error:
            raise InputError(f"{action}: {words[row]!r} is no time in seconds") from error

    def key(row: int) -> Key:
        return words[row], number(row + 1)

    ways: dict[tuple[str, int], Callable[[], str]] = {
        ("merge", 2): lambda: merge(ledger, number(0), number(1), actor),
        ("name", 2): lambda: name(ledger, number(0), words[1], actor),
        ("split", 2): lambda: split(ledger, key(0), WHOLE, actor),
        ("split", 3): lambda: split(ledger, key(0), seconds(2), actor),
        ("confirm", 4): lambda: confirm(ledger, key(0), key(2), actor),
        ("reject", 4): lambda: reject(ledger, key(0), key(2), actor),
        ("undo", 0): lambda: undo(ledger, None, actor),
        ("undo", 1): lambda: undo(ledger, number(0), actor),
    }
    if (action, len(words)) not in ways:
        raise InputError(f"write: correct RUN {action} {ACTIONS[action]}")
    return ways[action, len(words)]()


def _person(ledger: Ledger, person: int) -> int:
    """Return the number that a person has now. Raises InputError if there is none."""
    identities = ledger.replay()
    number = identities.resolve(person)
    if number == NO_ID or not identities.tracklets_of(number):
        raise InputError(f"there is no person {person} in {ledger.path.parent}")
    return number


def _tracklet(ledger: Ledger, key: Key) -> Key:
    if not ledger.replay().segments(*key):
        raise InputError(f"there is no track {key[1]} on camera {key[0]!r} in {ledger.path.parent}")
    return key
