"""Exports as text: MOTChallenge, AI City, CSV."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from app.boxes import to_square_pixels
from app.footage.motchallenge import write_rows
from app.runs.export.rows import Export, write_camera_numbers
from app.runs.folder.topology_file import read_topology
from app.track.linking.floors import foot_points, mapped


def write_mot(export: Export) -> list[Path]:
    files = []
    for camera in export.run.cameras:
        path = export.file(f"{camera.name}.txt")
        rows, ids = export.rows(camera.name)
        write_rows(path, rows.frames + 1, ids, rows.boxes, rows.scores)
        files.append(path)
    return files


def write_aicity(export: Export) -> list[Path]:
    path = export.file("track1.txt")
    with path.open("w", encoding="utf-8") as file:
        for number, camera in enumerate(export.run.cameras, 1):
            for rows, ids in export.parts(camera.name):
                corners = np.rint(rows.boxes).astype(np.int64)
                left, top, right, bottom = corners.T
                columns = (ids, rows.frames + 1, left, top, right - left, bottom - top)
                for line in np.stack(columns, axis=1).tolist():
                    file.write(f"{number} {' '.join(map(str, line))} -1 -1\n")
    return [path, write_camera_numbers(export)]


def write_csv(export: Export) -> list[Path]:
    path = export.file("observations.csv")
    fields = [("camera", pa.string()), ("frame", pa.int64()), ("time_s", pa.float64()), ("track_id", pa.int64())]
    fields += [("person_id", pa.int64()), ("name", pa.string()), ("id", pa.int64())]
    fields += [(name, pa.float32()) for name in ("x1", "y1", "x2", "y2", "score")]
    fields += [("observed", pa.bool_())]
    topology = read_topology(export.run.folder)
    to_floor = topology.calibrations if topology is not None else {}
    if to_floor:
        fields += [("x_m", pa.float64()), ("y_m", pa.float64())]
    schema = pa.schema(fields)
    identities = export.objects.identities
    options = csv.WriteOptions(quoting_style="needed")
    with csv.CSVWriter(path, schema, write_options=options) as writer:
        for camera in export.run.cameras:
            for rows, ids in export.parts(camera.name):
                persons = identities.person_of(camera.name, rows.track_ids, rows.times)
                columns = [
                    pa.repeat(camera.name, len(rows)),
                    rows.frames,
                    rows.times,
                    rows.track_ids,
                    persons,
                    pa.array([identities.names.get(person, "") for person in persons.tolist()], pa.string()),
                    ids,
                    *(np.ascontiguousarray(rows.boxes[:, side]) for side in range(4)),
                    rows.scores,
                    ~rows.filled,
                ]
                if camera.name in to_floor:
                    square = to_square_pixels(rows.boxes, camera.file_scale)
                    columns += list(mapped(to_floor[camera.name], foot_points(square)).T.round(3))
                elif to_floor:
                    columns += [pa.nulls(len(rows), pa.float64())] * 2
                writer.write_table(pa.table(columns, schema=schema))
    return [path]
