"""What an event must be, whatever was said before."""

from __future__ import annotations

import math

from app.frames import NO_ID
from app.runs.ledger.identities import Event

_LONGEST_TEXT = 200


def problem_of(event: Event) -> str:
    """Return what is wrong with an event whatever the state, or an empty text."""
    if not event.actor:
        return "nobody is named as its actor"
    if event.kind in ("assign", "split", "confirm", "reject") and (not event.camera or event.track_id < 0):
        return f"({event.camera!r}, {event.track_id}) is no tracklet"
    if event.kind in ("confirm", "reject") and (not event.other_camera or event.other_track_id < 0):
        return f"({event.other_camera!r}, {event.other_track_id}) is no tracklet"
    if event.kind in ("confirm", "reject") and event.pair[0] == event.pair[1]:
        return "a pair is two different tracklets"
    if event.kind != "assign" and event.kind in ("merge", "split", "name", "erase") and event.person < 1:
        return f"{event.person} is no person; people count from 1"
    if event.kind == "assign" and event.person < 1 and event.person != NO_ID:
        return f"{event.person} is no person; people count from 1"
    if event.kind == "merge" and (event.other_person < 1 or event.other_person == event.person):
        return f"person {event.person} cannot be merged into {event.other_person}"
    if math.isnan(event.at_s) or event.at_s == math.inf:
        return f"{event.at_s} s is no time to split at"
    if len(event.text) > _LONGEST_TEXT or any(ord(sign) < 32 for sign in event.text):
        return f"a name has at most {_LONGEST_TEXT} characters and is one line"
    return ""
