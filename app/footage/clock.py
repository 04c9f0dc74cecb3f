"""Times of footage: what a file's name says of when it starts, and how a time is said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from app.errors import InputError

_STRFTIME_CODES = {
    "%Y": r"(?P<year>\d{4})",
    "%m": r"(?P<month>\d{2})",
    "%d": r"(?P<day>\d{2})",
    "%H": r"(?P<hour>\d{2})",
    "%I": r"(?P<hour>\d{1,2})",
    "%p": r"(?P<half>[AaPp]\.?[Mm]\.?)",
    "%M": r"(?P<minute>\d{2})",
    "%S": r"(?P<second>\d{2})",
    "%f": r"(?P<fraction>\d{1,6})",
    "%%": "%",
}
_USUAL_NAME = re.compile(
    r"(?<!\d)(?P<year>(?:19|20)\d{2})[-_.]?(?P<month>\d{2})[-_.]?(?P<day>\d{2})[-_.T ]{0,3}"
    r"(?P<hour>\d{2}|\d(?=[-_.:h]))[-_.:h]?(?P<minute>\d{2})[-_.:m]?(?P<second>\d{2})(?!\d)"
    r"(?:[-_. ]{0,2}(?P<half>[AaPp]\.?[Mm])(?![A-Za-z]))?"
)


def format_time(time: float) -> str:
    """Return a time on the shared clock as text: date and time (UTC) if it counts from 1970, else hours from 0."""
    if time >= 1e8:
        return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-5] + " UTC"
    tenths = round(abs(time) * 10)
    sign = "-" if time < 0 and tenths else ""
    return f"{sign}{tenths // 36000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"


@dataclass(frozen=True, slots=True)
class StartTime:
    """Seconds since 1970 (UTC) when a camera's first picture was taken, and how that is known."""

    time_s: float
    known_from: Literal["list", "name", "metadata"]


def pattern_regex(pattern: str) -> re.Pattern[str]:
    """Turn a strftime pattern into a regular expression; "" gives the usual forms. Raises InputError."""
    if not pattern:
        return _USUAL_NAME
    parts = re.split(r"(%.)", pattern)
    unknown = [part for part in parts if part.startswith("%") and part not in _STRFTIME_CODES]
    doubled = {part for part in parts if part.startswith("%") and part != "%%" and parts.count(part) > 1}
    hours = {"%H"} if "%I" not in parts and "%p" not in parts else {"%I", "%p"}
    if unknown or doubled or not {"%Y", "%m", "%d", "%M", *hours} <= set(parts) or {"%H", "%I"} <= set(parts):
        raise InputError(
            f"name_pattern {pattern!r}: needs %Y %m %d %H %M, or %I %p for 12 hours instead of %H, and may have %S and "
            "%f, each once; other codes are not known"
        )
    return re.compile("".join(_STRFTIME_CODES.get(part, re.escape(part)) for part in parts))


def start_from_name(name: str, pattern: str = "") -> StartTime | None:
    """Return the start time written in a file or folder name, None if there is none or it is no real date."""
    match = pattern_regex(pattern).search(name)
    if match is None:
        return None
    found = {key: value for key, value in match.groupdict().items() if value is not None}
    fraction, half = found.pop("fraction", "0"), found.pop("half", "")
    if half:
        hour = int(found["hour"])
        afternoon = half[0] in "Pp"
        if hour > 12 and not afternoon:
            return None
        if 1 <= hour <= 12:  # some write 13 PM and 00 AM
            found["hour"] = str(hour % 12 + 12 * afternoon)
    try:
        moment = datetime(**{key: int(value) for key, value in found.items()}, tzinfo=UTC)
    except ValueError:
        return None
    return StartTime(moment.timestamp() + float(f"0.{fraction}"), "name")
