"""Giving the groups of a new link stage their person ids, without touching what humans decided.

A link stage says which tracklets belong together; its own numbers mean nothing. So that a person keeps the same id (and
name, and merges) from one link stage to the next, each group takes over the id of a person it has tracklets of:

* A pinned tracklet (`Identities.pinned`: a human assigned, split, confirmed, named or merged it) keeps its person.
* Pairs of person and group are matched greedily, first by the pinned tracklets they share, then by all; a person goes
  to one group at most, a group gets one person at most. A group that finds none gets a new id.
* A tracklet that a human holds to be somebody else than a member of its group leaves the group for a new person.
* A tracklet that is in no group loses the person that a machine gave it, unless the run goes on: then it may be newer
  than the link stage.
* Parts of a tracklet that the linker cut are grouped under keys of their own, and become segments of that tracklet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from app.frames import NO_ID, TrackletKey
from app.runs.ledger.identities import WHOLE, Identities

Segments = list[tuple[float, int]]
"""(start in seconds, person) of each part of a tracklet, in order; the first start is `WHOLE`."""


def plan_reassignment(
    identities: Identities,
    groups: Mapping[TrackletKey, int],
    cuts: Mapping[TrackletKey, tuple[TrackletKey, float]] | None = None,
    keep_others: bool = False,
) -> dict[TrackletKey, Segments]:
    """Return the segments of every tracklet whose people change (`NO_ID`: nobody), in the order of the keys.

    groups: for each tracklet the number of its group; `NO_ID` for a tracklet that could not be placed.
    cuts: for each key of `groups` that is the later part of a tracklet, that tracklet's key and when the part begins.
    keep_others: leave tracklets that are in no group to the person they have.
    """
    cuts = cuts or {}
    before = {key: identities.segments(*key) for key in {*groups, *identities.known_tracklets()} - cuts.keys()}
    now = {key: [person for _, person in segments] for key, segments in before.items()}
    for part, (key, at_s) in cuts.items():
        # Where this cut was made before, each part is whose it was.
        now[part] = [person for start, person in before[key] if start == at_s]
        now[key] = [person for start, person in before[key] if start != at_s]
    wanted = _people_of_keys(identities, groups, now, keep_others)
    after = {key: [(WHOLE, person)] for key, person in wanted.items() if key not in cuts}
    for part, (key, at_s) in cuts.items():
        if key in after and after[key][-1][1] != wanted[part]:  # a human may have decided about it since it was cut
            after[key].append((at_s, wanted[part]))
    return {
        key: after[key]
        for key in sorted(after)
        if after[key] != before[key] and (before[key] or after[key] != [(WHOLE, NO_ID)])
    }


def _people_of_keys(
    identities: Identities, groups: Mapping[TrackletKey, int], now: Mapping[TrackletKey, list[int]], keep_others: bool
) -> dict[TrackletKey, int]:
    """Return the person of every tracklet and part of one, except of those that must not change."""
    pinned = identities.pinned()
    members: dict[int, list[TrackletKey]] = {}
    for key in sorted(groups):
        if groups[key] != NO_ID:
            members.setdefault(groups[key], []).append(key)
    people = _match(members, pinned, now)
    _, rejected = identities.constraints()
    cannot_link: dict[TrackletKey, set[TrackletKey]] = {}
    for first, second in rejected:
        cannot_link.setdefault(first, set()).add(second)
        cannot_link.setdefault(second, set()).add(first)
    held: dict[int, set[TrackletKey]] = {}
    for key in pinned:
        for person in now[key]:
            held.setdefault(person, set()).add(key)
    fresh = identities.next_person_id
    wanted: dict[TrackletKey, int] = {}
    for group, keys in members.items():
        if group not in people:
            people[group], fresh = fresh, fresh + 1
        person = people[group]
        own = set(held.get(person, ()))
        loose = [key for key in keys if key not in pinned]
        while loose:  # the second and later rounds are for those whom a human told apart
            apart = []
            for key in loose:
                if cannot_link.get(key, set()) & own:
                    apart.append(key)
                else:
                    own.add(key)
                    wanted[key] = person
            loose, own = apart, set()
            if loose:
                person, fresh = fresh, fresh + 1
    for key in groups if keep_others else now:
        if key not in wanted and key not in pinned:
            wanted[key] = NO_ID
    return wanted


def _match(
    members: Mapping[int, Iterable[TrackletKey]], pinned: set[TrackletKey], now: Mapping[TrackletKey, list[int]]
) -> dict[int, int]:
    """Return the person that each group takes over; groups that find none are absent."""
    fixed: Counter[tuple[int, int]] = Counter()
    shared: Counter[tuple[int, int]] = Counter()
    first_group = {group: number for number, group in enumerate(members)}
    for group, keys in members.items():
        for key in keys:
            for person in set(now[key]) - {NO_ID}:
                shared[group, person] += 1
                fixed[group, person] += key in pinned
    people: dict[int, int] = {}
    for group, person in sorted(shared, key=lambda pair: (-fixed[pair], -shared[pair], pair[1], first_group[pair[0]])):
        if group not in people and person not in people.values():
            people[group] = person
    return people
