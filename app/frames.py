"""The data that travels between the parts: frozen, slotted records of NumPy arrays.

Row *i* means the same person in every array of a record. Shapes and dtypes are checked on construction, arrays are
never optional (an empty record has arrays of length 0) and no function may modify an array that it was handed.

====================  =================================================================================
`Frame`               one picture of one camera at one time
`Detections`          the boxes found in a frame
`Embeddings`          the appearance vectors of those boxes, where they were computed
`TrackAppearances`    what a tracker knows of its tracks that are visible now: input of the online gallery
`FrameResult`         a frame with its boxes, track ids and person ids: what every sink receives
`Tracklet`            one person seen by one camera without interruption: output of stage 1, input of stage 2
====================  =================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_ID = -1
"""Value of a track or person id that has not been decided (yet)."""

TrackletKey = tuple[str, int]
"""What names a tracklet: its camera and its track id."""

BgrImage = NDArray[np.uint8]
"""(H, W, 3) uint8, blue, green, red."""


def _check(owner: object, name: str, dtype: Any, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError unless attribute `name` is an array of `dtype` and `shape` (None matches any length)."""
    array = getattr(owner, name)
    where = f"{type(owner).__name__}.{name}"
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{where} must be a NumPy array, not {type(array).__name__}")
    if array.dtype != dtype:
        raise ValueError(f"{where} must be {np.dtype(dtype)}, not {array.dtype}")
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if side is None else str(side) for side in shape)
        raise ValueError(f"{where} must have shape ({wanted}), not {array.shape}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of one camera.

    camera: name of the camera.
    index: number of the frame in its source, from 0; a source that skips pictures skips numbers too.
    time: seconds on the clock that all cameras share.
    image: (H, W, 3) uint8 BGR; without pixels (`has_pixels` False) a read-only view of zeros that takes no memory.

    >>> frame = Frame("door", index=0, time=0.0, image=np.zeros((240, 320, 3), np.uint8))
    >>> frame.width, frame.height
    (320, 240)
    """

    camera: str
    index: int
    time: float
    image: NDArray[np.uint8]
    has_pixels: bool = True

    def __post_init__(self) -> None:
        _check(self, "image", np.uint8, (None, None, 3))

    @property
    def height(self) -> int:
        return int(self.image.shape[0])

    @property
    def width(self) -> int:
        return int(self.image.shape[1])


def blank_image(height: int, width: int) -> NDArray[np.uint8]:
    """Return a read-only (height, width, 3) uint8 view of zeros that takes no memory: a frame without pixels."""
    return np.broadcast_to(np.zeros(3, np.uint8), (height, width, 3))


@dataclass(frozen=True, slots=True)
class Detections:
    """The people found in one frame.

    boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the full frame; may reach beyond its edges.
    scores: (N,) float32 in [0, 1].

    >>> found = Detections(np.array([[10, 20, 50, 140]], np.float32), np.array([0.9], np.float32))
    >>> len(found), found[found.scores > 0.95].boxes.shape
    (1, (0, 4))
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check(self, "boxes", np.float32, (None, 4))
        _check(self, "scores", np.float32, (len(self.boxes),))

    @classmethod
    def from_supervision(cls, found: Any) -> Detections:
        """Return the boxes of a `supervision.Detections`, or of anything with its `xyxy` and `confidence`.

        Whoever made them should have left people only; without confidences all are 1.
        """
        boxes = np.array(found.xyxy, np.float32).reshape(-1, 4)
        scores = np.ones(len(boxes)) if found.confidence is None else found.confidence
        return cls(boxes, np.array(scores, np.float32))

    @classmethod
    def empty(cls) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: slice | NDArray[Any] | list[int]) -> Detections:
        """Select rows by slice, index array or boolean mask."""
        return Detections(self.boxes[rows], self.scores[rows])


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Appearance vectors of the rows of one `Detections`.

    vectors: (N, D) float32; rows of unit length where `valid`, zero elsewhere. D is 0 without a ReID model.
    valid: (N,) bool, which rows were embedded in this frame.
    """

    vectors: NDArray[np.float32]
    valid: NDArray[np.bool_]

    def __post_init__(self) -> None:
        _check(self, "vectors", np.float32, (None, None))
        _check(self, "valid", np.bool_, (len(self.vectors),))

    @classmethod
    def none(cls, count: int, dimension: int = 0) -> Embeddings:
        """Return embeddings for `count` rows of which none was embedded."""
        return cls(np.zeros((count, dimension), np.float32), np.zeros(count, np.bool_))

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice | NDArray[Any] | list[int]) -> Embeddings:
        return Embeddings(self.vectors[rows], self.valid[rows])


@dataclass(frozen=True, slots=True)
class TrackAppearances:
    """The confirmed tracks of one camera that are visible at this instant, with what is known of their appearance.

    camera: name of the camera.
    track_ids: (M,) int64.
    start_times: (M,) float64, seconds, when each track was first seen.
    vectors: (M, D) float32 unit rows, the track's typical appearance; zero rows where nothing was embedded yet.
    counts: (M,) int64, how many embeddings went into each vector.
    noises: (M,) float64, the cosine distance at which such vectors of one track are expected; 0 where it is not known.
    """

    camera: str
    track_ids: NDArray[np.int64]
    start_times: NDArray[np.float64]
    vectors: NDArray[np.float32]
    counts: NDArray[np.int64]
    noises: NDArray[np.float64]

    def __post_init__(self) -> None:
        _check(self, "track_ids", np.int64, (None,))
        rows = len(self.track_ids)
        _check(self, "start_times", np.float64, (rows,))
        _check(self, "vectors", np.float32, (rows, None))
        _check(self, "counts", np.int64, (rows,))
        _check(self, "noises", np.float64, (rows,))

    def __len__(self) -> int:
        return len(self.track_ids)

    def __getitem__(self, rows: NDArray[np.bool_]) -> TrackAppearances:
        """Select tracks by a boolean mask."""
        return TrackAppearances(
            self.camera,
            self.track_ids[rows],
            self.start_times[rows],
            self.vectors[rows],
            self.counts[rows],
            self.noises[rows],
        )


@dataclass(frozen=True, slots=True)
class FrameResult:
    """A frame and who is in it: what every sink receives.

    track_ids: (N,) int64, unique within the camera; `NO_ID` for a detection that belongs to no confirmed track.
    person_ids: (N,) int64, the same for one person on every camera; `NO_ID` while undecided.
    """

    frame: Frame
    detections: Detections
    track_ids: NDArray[np.int64]
    person_ids: NDArray[np.int64]

    def __post_init__(self) -> None:
        _check(self, "track_ids", np.int64, (len(self.detections),))
        _check(self, "person_ids", np.int64, (len(self.detections),))


@dataclass(frozen=True, slots=True)
class Tracklet:
    """One person seen by one camera without interruption.

    times: (T,) float64, seconds on the shared clock, strictly increasing.
    boxes: (T, 4) float32, x1 y1 x2 y2 in pixels of the full frame.
    scores: (T,) float32, detection confidence.
    crops: K references to the kept crops, best first: paths relative to the run folder.
    vectors: (K, D) float32 unit rows, one for each crop. K may be 0.
    qualities: (K,) float32 in [0, 1], how good each crop is (size, sharpness, visibility, confidence).
    """

    camera: str
    track_id: int
    times: NDArray[np.float64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    crops: tuple[str, ...]
    vectors: NDArray[np.float32]
    qualities: NDArray[np.float32]

    def __post_init__(self) -> None:
        _check(self, "times", np.float64, (None,))
        _check(self, "boxes", np.float32, (len(self.times), 4))
        _check(self, "scores", np.float32, (len(self.times),))
        _check(self, "vectors", np.float32, (len(self.crops), None))
        _check(self, "qualities", np.float32, (len(self.crops),))
        if len(self.times) == 0:
            raise ValueError("Tracklet.times must not be empty")

    @property
    def key(self) -> tuple[str, int]:
        """The tracklet's name everywhere: (camera, track_id)."""
        return self.camera, self.track_id

    @property
    def start_time(self) -> float:
        return float(self.times[0])

    @property
    def end_time(self) -> float:
        return float(self.times[-1])
