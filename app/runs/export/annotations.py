"""Exports for annotation tools: COCO JSON and CVAT for video. `app.runs.export.formats` says what is in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from app.frames import NO_ID
from app.runs.export.rows import Export
from app.runs.folder.header import CameraRecord
from app.runs.folder.tables import FILLED_SCORE, Observations

_PERSON = {"id": 1, "name": "person"}


def write_coco(export: Export) -> list[Path]:
    path = export.file("coco.json")
    with path.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "OmniTrack run"},\n"licenses": [],\n')
        file.write(f'"categories": [{json.dumps(_PERSON)}],\n')
        for name, items in (("videos", _videos(export)), ("images", _images(export)), ("annotations", _rows(export))):
            file.write(f'"{name}": [\n')
            _write_items(file, items)
            file.write("]\n}\n" if name == "annotations" else "],\n")
    return [path]


def _write_items(file: IO[str], items: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, so that a long run is never in memory as a whole."""
    separator = ""
    for item in items:
        file.write(separator + json.dumps(item))
        separator = ",\n"
    file.write("\n")


def _videos(export: Export) -> Iterator[dict[str, Any]]:
    for number, camera in enumerate(export.run.cameras, 1):
        width, height = camera.file_size
        yield {"id": number, "name": camera.name, "width": width, "height": height, "fps": camera.fps}


def _images(export: Export) -> Iterator[dict[str, Any]]:
    image_id = 0
    for number, camera in enumerate(export.run.cameras, 1):
        for index, time in zip(*(column.tolist() for column in export.run.frames(camera.name)), strict=True):
            image_id += 1
            yield {
                "id": image_id,
                "file_name": f"{camera.name}/{index:06d}.jpg",
                "width": camera.file_size[0],
                "height": camera.file_size[1],
                "video_id": number,
                "frame_index": index,
                "time_s": time,
            }


def _rows(export: Export) -> Iterator[dict[str, Any]]:
    first_image, annotation_id = 1, 0
    for number, camera in enumerate(export.run.cameras, 1):
        indices, _ = export.run.frames(camera.name)
        for rows, ids in export.parts(camera.name):
            images = (np.searchsorted(indices, rows.frames) + first_image).tolist()
            persons = export.objects.identities.person_of(camera.name, rows.track_ids, rows.times).tolist()
            boxes, scores = rows.boxes.astype(np.float64).tolist(), rows.scores.tolist()
            for image_id, object_id, person, (x1, y1, x2, y2), score in zip(
                images, ids.tolist(), persons, boxes, scores, strict=True
            ):
                annotation_id += 1
                width, height = x2 - x1, y2 - y1
                yield {
                    "id": annotation_id,
                    "image_id": image_id,
                    "video_id": number,
                    "category_id": _PERSON["id"],
                    "bbox": [round(x1, 2), round(y1, 2), round(width, 2), round(height, 2)],
                    "area": round(width * height, 2),
                    "iscrowd": 0,
                    "track_id": object_id,
                    "person_id": person,
                    "score": round(score, 4),
                    "observed": score > FILLED_SCORE,
                }
        first_image += len(indices)


def write_cvat(export: Export) -> list[Path]:
    files = []
    for camera in export.run.cameras:
        path = export.file(f"{camera.name}.xml")
        rows, ids = export.rows(camera.name)
        persons = export.objects.identities.person_of(camera.name, rows.track_ids, rows.times)
        names = export.objects.identities.names
        indices, _ = export.run.frames(camera.name)
        with path.open("w", encoding="utf-8") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
            file.write(_cvat_task(camera, int(indices[-1]) + 1 if len(indices) else 0))
            for number, own in enumerate(_tracks(ids, rows.track_ids)):
                person = int(persons[own[0]])
                name = names.get(person, "") if person != NO_ID else ""
                file.write(f'<track id="{number}" label="person" source="auto">\n')
                file.writelines(_cvat_boxes(rows[own], indices, int(ids[own[0]]), name))
                file.write("</track>\n")
            file.write("</annotations>\n")
        files.append(path)
    return files


def _tracks(ids: NDArray[np.int64], track_ids: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Return the rows of each pair of id and track, in the order of their frames."""
    if len(ids) == 0:
        return []
    order = np.lexsort((track_ids, ids))  # stable, and the rows come in the order of their frames
    changes = (np.diff(ids[order]) != 0) | (np.diff(track_ids[order]) != 0)
    return np.split(order, np.flatnonzero(changes) + 1)


def _cvat_task(camera: CameraRecord, frame_count: int) -> str:
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>text</input_type>"
        "<default_value></default_value><values></values></attribute>"
        for name in ("id", "name")
    )
    return (
        f"<meta><task><name>{escape(camera.name)}</name><size>{frame_count}</size><mode>interpolation</mode>"
        f"<overlap>0</overlap><start_frame>0</start_frame><stop_frame>{max(frame_count - 1, 0)}</stop_frame>"
        f"<labels><label><name>person</name><attributes>{attributes}</attributes></label></labels>"
        f"<original_size><width>{camera.file_size[0]}</width><height>{camera.file_size[1]}</height></original_size>"
        "</task></meta>\n"
    )


def _cvat_boxes(rows: Observations, indices: NDArray[np.int64], object_id: int, name: str) -> Iterator[str]:
    """Yield the boxes of a track. CVAT draws a box until told otherwise, so each stretch ends with one `outside`."""
    next_processed = np.searchsorted(indices, rows.frames, side="right")
    attributes = f'<attribute name="id">{object_id}</attribute><attribute name="name">{escape(name)}</attribute>'
    frames, boxes, filled = rows.frames.tolist(), rows.boxes.tolist(), rows.filled.tolist()
    for row, (frame, box) in enumerate(zip(frames, boxes, strict=True)):
        yield _cvat_box(frame, False, box, attributes, filled[row])
        if next_processed[row] < len(indices):
            following = int(indices[next_processed[row]])
            if row + 1 == len(frames) or frames[row + 1] != following:
                yield _cvat_box(following, True, box, attributes)


def _cvat_box(frame: int, outside: bool, box: list[float], attributes: str, hidden: bool = False) -> str:
    sides = " ".join(
        f"{side}={quoteattr(f'{value:.2f}')}" for side, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True)
    )
    state = f'frame="{frame}" outside="{int(outside)}" occluded="{int(hidden)}" keyframe="1"'
    return f'<box {state} {sides} z_order="0">{attributes}</box>\n'
