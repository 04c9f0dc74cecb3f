"""Writing a run in the formats of other tools; `app.runs.export.formats` says what each of them holds.

Exports follow the ledger: after a merge, a split or an undo the
next export differs accordingly, and equal identities give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from app.errors import InputError
from app.runs.export.formats import FORMATS, IDS, Ids
from app.runs.export.rows import Export, ObjectIds
from app.runs.export.text import write_aicity, write_csv, write_mot
from app.runs.folder.audit_log import python_user, record
from app.runs.folder.run import Run
from app.runs.folder.written import copying_into

_README = "README.txt"
_README_BEGINS = "OmniTrack export, format "
_TRACKS_ACROSS = "Ids are tracks, numbered over all cameras, so that no id is on two cameras."
_UNDECIDED_CROPS = (
    "Ids are person ids. Crops of tracklets whose person is not decided have the id -1, which loaders skip."
)
_LEFT_OUT = (
    "Left out are {} boxes of people who have another box in the same frame of a camera: each person has one box in a "
    "frame, the one with the best score. Two people may have been merged who are two."
)


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written. files: README.txt among them.  left_out: rows whose person has another box in that frame."""

    files: list[Path]
    left_out: int


def export_run(run: Run, format: str, ids: Ids, output: str | Path, actor: str = "") -> Exported:
    """Write `run` in a format of `FORMATS` into the folder `output`.

    actor: who exports, for the audit log of the run; without one the user whose Python program this is.
    Raises InputError for a format or a kind of ids that does not exist, and where old files would be mixed with new.

    >>> [path.name for path in export_run(run, "mot", "person", output / "mot").files]
    ['yard.txt', 'README.txt']
    """
    output = Path(output)
    from app.runs.export.annotations import write_coco, write_cvat
    from app.runs.export.crops import write_market1501

    writers: dict[str, Callable[[Export], list[Path]]] = {
        "mot": write_mot,
        "aicity": write_aicity,
        "csv": write_csv,
        "coco": write_coco,
        "cvat": write_cvat,
        "market1501": write_market1501,
    }
    if format not in writers:
        raise InputError(f"there is no export format {format!r}; there are {', '.join(writers)}")
    if ids not in get_args(Ids):
        raise InputError(f"there are no ids {ids!r}; there are {', '.join(get_args(Ids))}")
    if output.exists() and not output.is_dir():
        raise InputError(f"{output} is a file; --output is a folder")
    across = format in ("aicity", "coco", "market1501")
    with copying_into(output, "exporting this run"):
        run = Run.open(run.folder)
        objects = ObjectIds(run, ids, across)
        export = Export(run, ids, objects, output, _is_export(output))
        readme = export.file(_README)
        output.mkdir(parents=True, exist_ok=True)
        files = writers[format](export)
    meaning = _TRACKS_ACROSS if across and ids == "track" else IDS[ids]
    if format == "market1501" and ids == "person":
        meaning = _UNDECIDED_CROPS
    if objects.left_out:
        meaning += f"\n{_LEFT_OUT.format(objects.left_out)}"
    readme.write_text(_readme(run, format, meaning), encoding="utf-8")
    record(run.folder, actor or python_user(), "exported", format)
    return Exported([*files, readme], objects.left_out)


def _is_export(folder: Path) -> bool:
    """Return whether an earlier export was written into a folder."""
    try:
        return (folder / _README).read_text(encoding="utf-8", errors="replace").startswith(_README_BEGINS)
    except OSError:
        return False


def _readme(run: Run, format: str, meaning: str) -> str:
    lines = [
        f"{_README_BEGINS}{format}, made from a run of {len(run.cameras)} cameras.",
        "",
        FORMATS[format],
        meaning,
        "",
        "Cameras, in order:",
        *(
            f"  {number}  {camera.name}: {camera.file_size[0]}×{camera.file_size[1]} pixels, {camera.fps:g} frames/s, "
            f"picture 0 at about {camera.start_time:.3f} s"
            for number, camera in enumerate(run.cameras, 1)
        ),
    ]
    return "\n".join(lines) + "\n"
