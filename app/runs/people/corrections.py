"""What a human can say about identities, in one place for the browser and the command line.

Each function checks that what is named exists, appends to the ledger and returns a sentence about what is so now.
What contradicts the footage (two people in view together are one) is asked back: `Contradiction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from app.errors import InputError
from app.footage.clock import format_time
from app.frames import NO_ID, TrackletKey
from app.runs.folder.run import Run
from app.runs.ledger.identities import WHOLE, Event, Segment
from app.runs.ledger.ledger import Ledger
from app.runs.people.review import in_words, last_correction
from app.runs.people.visits import seen_together

ACTIONS = {
    "merge": "PERSON INTO",
    "name": "PERSON TEXT",
    "split": "CAMERA TRACK [SECONDS]",
    "confirm": "CAMERA TRACK CAMERA TRACK",
    "reject": "CAMERA TRACK CAMERA TRACK",
    "undo": "[EVENT]",
}
"""What each correction is about, as the command line takes it."""


class Contradiction(InputError):
    """What a human says cannot be so by what the cameras saw. It can be said all the same, with `anyway`."""


def merge(run: Run, ledger: Ledger, person: int, into: int, actor: str, anyway: bool = False) -> str:
    """Say that `person` is `into`, whose number and name stay.

    Raises Contradiction if a camera saw both in one frame, unless `anyway`: one person may have got two boxes.
    """
    ends, stays = _person(ledger, person), _person(ledger, into)
    if ends == stays:
        raise InputError(f"{person} and {into} are one person already")
    if not anyway:
        identities = ledger.replay()
        both = f"Person {ends} and person {stays}"
        _refuse_together(run, both, identities.tracklets_of(ends), identities.tracklets_of(stays))
    ledger.merge(ends, stays, actor)
    return f"Person {ends} and person {stays} are one person now: person {stays}."


def name(ledger: Ledger, person: int, text: str, actor: str) -> str:
    """Name a person; an empty text takes the name away."""
    number = _person(ledger, person)
    ledger.name(number, text, actor)
    return f"Person {number} is called {text.strip()} now." if text.strip() else f"Person {number} has no name now."


def split(ledger: Ledger, key: TrackletKey, at_s: float, actor: str) -> str:
    """Give the rows of a tracklet from `at_s` on (`WHOLE`: all of them) to a new person."""
    _, new = ledger.split(*_tracklet(ledger, key), at_s, actor)
    return f"This visit is person {new} now." if at_s == WHOLE else f"From there on it is person {new}."


def confirm(run: Run, ledger: Ledger, first: TrackletKey, second: TrackletKey, actor: str, anyway: bool = False) -> str:
    """Say that two tracklets show the same person. Changes no identity: see `same`.

    Raises Contradiction if both are in one frame, unless `anyway`.
    """
    _refuse_pair_together(run, _tracklet(ledger, first), _tracklet(ledger, second), anyway)
    ledger.confirm(first, second, actor)
    return "Confirmed: linking will keep this pair together."


def same(run: Run, ledger: Ledger, first: TrackletKey, second: TrackletKey, actor: str, anyway: bool = False) -> str:
    """Say that two tracklets show the same person, and make their people one, as one step.

    A person with a name stays, else the lower number. Raises Contradiction as `merge` and `confirm` do.
    """
    identities = ledger.replay()
    people = [identities.latest_person(*_tracklet(ledger, key)) for key in (first, second)]
    if people[0] == people[1] or NO_ID in people:
        return confirm(run, ledger, first, second, actor, anyway)
    stays, ends = sorted(people, key=lambda person: (person not in identities.names, person))
    if not anyway:
        both = f"Person {ends} and person {stays}"
        _refuse_together(run, both, identities.tracklets_of(ends), identities.tracklets_of(stays))
    pair = Event("confirm", actor, *first, other_camera=second[0], other_track_id=second[1])
    ledger.append([pair, Event("merge", actor, person=ends, other_person=stays)])
    return f"Person {ends} and person {stays} are one person now: person {stays}."


def reject(ledger: Ledger, first: TrackletKey, second: TrackletKey, actor: str) -> str:
    """Say that two tracklets show different people; if they are one person now, the first becomes one of its own."""
    identities = ledger.replay()
    people = [identities.latest_person(*_tracklet(ledger, key)) for key in (first, second)]
    if people[0] != people[1]:
        ledger.reject(first, second, actor)
        return "Rejected: linking will keep the pair apart."
    ledger.separate(first, second, actor)
    return "Rejected: the visit is a person of its own now, and linking will keep the pair apart."


def undo(ledger: Ledger, event: int | None, actor: str, anybody: bool = False) -> str:
    """Take back an event, or without one the latest correction that is in force.

    Only what `actor` decided, unless `anybody`. Raises InputError if there is none.
    """
    if event is None:
        events = last_correction(ledger, None if anybody else actor)
        if not events:
            others = last_correction(ledger)
            if not others:
                raise InputError("There is no correction to undo.")
            raise InputError(
                f"{actor} has decided nothing that could be undone. The latest correction is by {others[-1].actor}: "
                f"{in_words(others)}; undo decision {others[-1].id} if that is meant (--anybody)."
            )
    else:
        events = list(ledger.events(after=event - 1, until=event))
        if not events:
            raise InputError(f"cannot undo: there is no event {event}")
        if events[0].actor != actor and not anybody:
            raise InputError(
                f"decision {event} ({in_words(events)}) is by {events[0].actor}, not by {actor}; "
                "add --anybody to undo it all the same"
            )
    ledger.append([Event("undo", actor, target=found.id) for found in reversed(events)])
    whose = "" if events[0].actor == actor else f", decided by {events[0].actor}"
    return f"Undone: {in_words(events)}{whose}."


def correct(
    run: Run,
    ledger: Ledger,
    action: str,
    words: Sequence[str],
    actor: str,
    anyway: bool = False,
    anybody: bool = False,
) -> str:
    """Do what the words of a command say (`ACTIONS`). Raises InputError for words that do not fit.

    anyway: also what contradicts the footage.  anybody: also undo what others decided.
    """

    def number(row: int) -> int:
        if not words[row].isdecimal():
            raise InputError(f"{action}: {words[row]!r} is no number; write {action} {ACTIONS[action]}")
        return int(words[row])

    def seconds(row: int) -> float:
        try:
            return float(words[row])
        except ValueError as error:
            raise InputError(f"{action}: {words[row]!r} is no time in seconds") from error

    def key(row: int) -> TrackletKey:
        return words[row], number(row + 1)

    ways: dict[tuple[str, int], Callable[[], str]] = {
        ("merge", 2): lambda: merge(run, ledger, number(0), number(1), actor, anyway),
        ("name", 2): lambda: name(ledger, number(0), words[1], actor),
        ("split", 2): lambda: split(ledger, key(0), WHOLE, actor),
        ("split", 3): lambda: split(ledger, key(0), seconds(2), actor),
        ("confirm", 4): lambda: confirm(run, ledger, key(0), key(2), actor, anyway),
        ("reject", 4): lambda: reject(ledger, key(0), key(2), actor),
        ("undo", 0): lambda: undo(ledger, None, actor, anybody),
        ("undo", 1): lambda: undo(ledger, number(0), actor, anybody),
    }
    if (action, len(words)) not in ways:
        raise InputError(f"write: correct RUN {action} {ACTIONS[action]}")
    try:
        return ways[action, len(words)]()
    except Contradiction as error:
        raise Contradiction(f"{error} If it is one person who got two boxes, say so with --anyway.") from error


def _person(ledger: Ledger, person: int) -> int:
    """Return the number that a person has now. Raises InputError if there is none."""
    identities = ledger.replay()
    number = identities.resolve(person)
    if number == NO_ID or not identities.tracklets_of(number):
        raise InputError(f"there is no person {person} in {ledger.path.parent}")
    return number


def _tracklet(ledger: Ledger, key: TrackletKey) -> TrackletKey:
    if not ledger.replay().segments(*key):
        raise InputError(f"there is no track {key[1]} on camera {key[0]!r} in {ledger.path.parent}")
    return key


def _refuse_pair_together(run: Run, first: TrackletKey, second: TrackletKey, anyway: bool) -> None:
    if not anyway:
        ones, others = ([Segment(*key, -math.inf, math.inf)] for key in (first, second))
        both = " and ".join(f"{camera}, track {track_id}" for camera, track_id in (first, second))
        _refuse_together(run, both, ones, others)


def _refuse_together(run: Run, both: str, first: Sequence[Segment], second: Sequence[Segment]) -> None:
    found = seen_together(run, first, second)
    if found:
        longest = max(found, key=lambda together: together.frames)
        frames = sum(together.frames for together in found)
        start, end = (format_time(time_s) for time_s in (longest.start_s, longest.end_s))
        raise Contradiction(
            f"{both} were seen in the same frame {frames} times, on {longest.camera} from {start} to {end}: nobody is "
            "in two places at once."
        )
