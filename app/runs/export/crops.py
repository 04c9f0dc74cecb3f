"""Export of the kept crops as a training set in the layout of Market-1501, see `app.runs.export.formats`."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from app.errors import InputError
from app.frames import NO_ID, TrackletKey
from app.runs.export.rows import Export, csv_cell, write_camera_numbers
from app.runs.folder.layout import crop_frame
from app.runs.folder.written import note_copies

_Crops = Mapping[TrackletKey, Sequence[tuple[str, int]]]
"""Of each tracklet the crops that were written, best first: (path within the export, person)."""


def write_market1501(export: Export) -> list[Path]:
    folder = export.output / "bounding_box_train"
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} holds pictures already, which would be mixed with new ones; give another --output")
    folder.mkdir(exist_ok=True)
    numbers = {camera.name: number for number, camera in enumerate(export.run.cameras, 1)}
    identities = export.objects.identities
    taken: Counter[str] = Counter()
    written: dict[TrackletKey, list[tuple[str, int]]] = {}
    files = []
    copies: list[tuple[Path, Path]] = []
    lines = ["file,id,person_id,name,camera,track_id,frame,time_s"]
    for tracklet in export.run.tracklet_summaries():
        references = [crop for crop in tracklet.crops if export.run.crop_path(crop).is_file()]
        shown = np.array([crop_frame(crop) for crop in references], np.int64)
        extra = export.objects.is_extra(tracklet.camera, shown, np.full(len(shown), tracklet.track_id))
        references, shown = [crop for crop, out in zip(references, extra, strict=True) if not out], shown[~extra]
        crop_times = export.run.crop_times(tracklet.camera, references)
        track_ids = np.full(len(references), tracklet.track_id, np.int64)
        persons = identities.person_of(tracklet.camera, track_ids, crop_times)
        ids = persons if export.ids == "person" else export.objects.of(tracklet.camera, track_ids, crop_times)
        for reference, frame, time, person, object_id in zip(
            references, shown.tolist(), crop_times.tolist(), persons.tolist(), ids.tolist(), strict=True
        ):
            stem = f"{NO_ID if object_id == NO_ID else f'{object_id:04d}'}_c{numbers[tracklet.camera]}s1_{frame:06d}"
            path = folder / f"{stem}_{taken[stem]:02d}.jpg"
            taken[stem] += 1
            copies.append((export.run.crop_path(reference), path))
            files.append(path)
            written.setdefault(tracklet.key, []).append((path.relative_to(export.output).as_posix(), person))
            name, camera = csv_cell(identities.names.get(person, "")), csv_cell(tracklet.camera)
            lines.append(f"{path.name},{object_id},{person},{name},{camera},{tracklet.track_id},{frame},{time!r}")
    note_copies(path for _, path in copies)
    for source, path in copies:
        shutil.copyfile(source, path)
    listing = export.file("identities.csv")
    listing.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [*files, listing, _write_pairs(export, written), write_camera_numbers(export)]


def _write_pairs(export: Export, crops: _Crops) -> Path:
    """Write the pairs of tracklets that a human judged as pairs of crops: every crop of both is in one row at least.

    What somebody decided about the people later counts: crops that contradict a judgement now are left out.
    """
    path = export.file("pairs.csv")
    identities = export.objects.identities
    judged = [*((pair, True) for pair in identities.confirmed), *((pair, False) for pair in identities.rejected)]
    lines = ["crop_a,crop_b,same"]
    for (first, second), same in judged:
        ones, others = crops.get(first, ()), crops.get(second, ())
        for row in range(max(len(ones), len(others)) if ones and others else 0):
            (crop_a, person_a), (crop_b, person_b) = ones[row % len(ones)], others[row % len(others)]
            if NO_ID in (person_a, person_b) or (person_a == person_b) is same:
                lines.append(f"{crop_a},{crop_b},{int(same)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
