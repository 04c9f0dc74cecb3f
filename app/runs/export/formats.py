"""What each export format holds, and in which frame and time base.

The same words are in `main.py export --help` and in the README.txt beside every export. Nothing is imported here.
"""

from __future__ import annotations

from typing import Literal

Ids = Literal["person", "track"]

FORMATS = {
    "mot": "MOTChallenge text, CAMERA.txt for each camera: frame, id, left, top, width, height, score, -1, -1, -1. "
    "The score is 0 where linking filled a gap. Frames count from 1: picture index + 1.",
    "aicity": "AI City Challenge text, track1.txt for all cameras: camera_id obj_id frame_id xmin ymin width height "
    "xworld yworld. Frames count from 1: picture index + 1; pixels are whole numbers from 0; the world is not known "
    "(-1 -1). cameras.csv says which camera has which number.",
    "csv": "One table of all cameras, observations.csv. The column frame is the picture index from 0, time_s is "
    "seconds on the clock that all cameras share; person_id is -1 while nobody is decided, id is what --ids asks for; "
    "observed is false where linking filled a gap. x_m and y_m, metres on the floor, are there when a camera was "
    "calibrated (link.cameras).",
    "coco": "COCO JSON, coco.json: images, annotations with track_id and person_id, videos (one for each camera). "
    "frame_index is the picture index from 0, time_s is seconds on the clock that all cameras share; every processed "
    "picture is listed, also without people. observed is false where linking filled a gap. The pictures themselves are "
    "not written.",
    "cvat": "CVAT for video 1.1, CAMERA.xml for each camera: one track for each tracklet, whose attributes are the "
    "id and the name. Frames are the picture index from 0, as CVAT counts them. A box that fills a gap is "
    "marked as occluded.",
    "market1501": "Market-1501 crops, bounding_box_train/ID_cCAMERAs1_FRAME_NUMBER.jpg; FRAME is the picture index "
    "from 0. identities.csv says of each crop whose it is, cameras.csv which camera has which number, pairs.csv the "
    "pairs of crops (paths within this folder) of tracklets that a human confirmed (same = 1) or rejected (0).",
}

IDS = {
    "person": "Ids are person ids, the same on every camera. A row whose person is not decided gets the id of its "
    "track: one for each track, above all person ids, so that it counts as somebody else than everybody.",
    "track": "Ids are track ids, unique within a camera.",
}
