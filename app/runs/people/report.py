"""`main.py people RUN` and `main.py route RUN PERSON`: who was where, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.errors import InputError
from app.footage.clock import format_time
from app.runs.folder.camera_states import blind_times, blind_to_json
from app.runs.folder.run import Run
from app.runs.people.bands import band
from app.runs.people.review import describe, doubtful_people, links_in_force
from app.runs.people.visits import Person, people_of


def people_report(folder: Path) -> dict[str, Any]:
    """Return `people`: of each person number, name, first and last time, seconds in sight, cameras, visits, and how
    many `doubtful_links` that nobody confirmed hold it together; and `blind`, when live cameras saw nothing: nobody is
    known to have been absent there."""
    run = Run.open(folder)
    with run.ledger() as ledger:
        identities = ledger.replay()
        people = people_of(run, identities)
        doubtful = doubtful_people(links_in_force(people, ledger.latest_evidence()), identities)
    return {
        "people": [_person(person, len(doubtful.get(person.id, ()))) for person in people.values()],
        "blind": blind_to_json(blind_times(folder)),
    }


def route_report(folder: Path, number: int) -> dict[str, Any]:
    """Return a person and `route`: the visits in order, each with why a machine linked it, and `corrections`.

    evidence: p_same and runner_up are probabilities, `band` is p_same in words, `doubtful` whether the link could well
    be a mistake and nobody has confirmed it.
    away_s: seconds out of all sight before a visit, negative where another camera still saw the person.
    Raises InputError if there is no such person.
    """
    run = Run.open(folder)
    with run.ledger() as ledger:
        identities = ledger.replay()
        person = people_of(run, identities).get(identities.resolve(number))
        if person is None:
            raise InputError(f"{folder}: there is no person {number}")
        evidence = ledger.latest_evidence([visit.key for visit in person.visits])
        doubtful = doubtful_people(links_in_force({person.id: person}, evidence), identities).get(person.id, [])
        undone = ledger.undone()
        keys = {visit.key for visit in person.visits}
        events = [
            {"event": event.id, "time": event.time, "actor": event.actor, "what": describe(event)}
            for event in ledger.corrections()
            if event.id not in undone
            if person.id in (event.person, event.other_person) or (event.camera, event.track_id) in keys
        ]
    route = []
    seen_until = None
    for visit in person.visits:
        link = evidence.get(visit.key)
        why = {} if link is None else dict(link.evidence)
        if why.get("p_same") is not None:
            why |= {"band": band(why["p_same"]), "doubtful": any(visit.key == one.own for one in doubtful)}
        route.append(
            {
                "camera": visit.camera,
                "track": visit.track_id,
                "start_s": visit.start_s,
                "end_s": visit.end_s,
                "away_s": None if seen_until is None else round(visit.start_s - seen_until, 3),
                "evidence": why,
            }
        )
        seen_until = visit.end_s if seen_until is None else max(seen_until, visit.end_s)
    return {**_person(person, len(doubtful)), "route": route, "corrections": events}


def people_table(report: dict[str, Any]) -> Any:
    """Return rich tables of `people_report`."""
    from rich.console import Group
    from rich.table import Table

    table = Table("person", "name", "first seen", "last seen", "in sight", "visits", "cameras")
    for person in report["people"]:
        times = [format_time(person[key]) for key in ("first_s", "last_s")]
        cells = (f"{person['seen_s']:.1f} s", str(person["visits"]), ", ".join(person["cameras"]))
        mark = " ?" if person["doubtful_links"] else ""
        table.add_row(f"{person['person']}{mark}", person["name"], *times, *cells)
    if any(person["doubtful_links"] for person in report["people"]):
        table.caption = "?: a link of this person could be a mistake; see `route`, or the page Review"
    return Group(table, *blind_tables(report["blind"]))


def blind_tables(blind: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return a rich table of when cameras saw nothing, or nothing if they always saw."""
    from rich.table import Table

    if not blind:
        return []
    caption = "nobody is known to have been absent where and when a camera was blind"
    table = Table("camera", "blind from", "to", "state", "why", title="Blind cameras", caption=caption)
    for one in blind:
        end = "–" if one["end_s"] is None else format_time(one["end_s"])
        table.add_row(one["camera"], format_time(one["start_s"]), end, one["state"], one["why"])
    return [table]


def route_table(report: dict[str, Any]) -> Any:
    """Return rich tables of `route_report`."""
    from rich.console import Group
    from rich.table import Table

    label = report["name"] or f"Person {report['person']}"
    route = Table("camera", "track", "from", "to", "out of sight before", "same person", "linked with", title=label)
    for visit in report["route"]:
        times = [format_time(visit[key]) for key in ("start_s", "end_s")]
        away_s = visit["away_s"]
        away = "" if away_s is None else f"{away_s:.1f} s" if away_s > 0 else "at the same time"
        why = visit["evidence"]
        p_same = f"{why['band']}{', doubtful' if why['doubtful'] else ''}" if "band" in why else ""
        linked = "{}, track {}".format(*why["with"]) if "with" in why else ""
        route.add_row(visit["camera"], str(visit["track"]), *times, away, p_same, linked)
    changes = Table("event", "when", "who", "what", title="Corrections")
    for change in report["corrections"]:
        changes.add_row(str(change["event"]), format_time(round(change["time"])), change["actor"], change["what"])
    return Group(*(table for table in (route, changes) if table.row_count))


def _person(person: Person, doubtful_links: int) -> dict[str, Any]:
    return {
        "person": person.id,
        "name": person.name,
        "first_s": person.first_s,
        "last_s": person.last_s,
        "seen_s": round(person.seen_s, 3),
        "visits": len(person.visits),
        "cameras": list(person.cameras),
        "doubtful_links": doubtful_links,
    }
