"""Following the people of one camera from frame to frame. `CameraTracker.update` is the page to read first.

The life of a track
-------------------
A confident box that no track explains starts a **tentative** track, without an id. If boxes continue it in the very
next frames until they are evidence enough, it is **confirmed** and gets the next number of its tracker's counter;
otherwise it is dropped, as most false alarms are. A box of less confidence (`walking_score`) starts a **doubtful**
tentative track, which is confirmed once it has walked some way. A confirmed track is **visible** in the frames in which
a box continues it and **lost** in the others. While lost it glides on along its last velocity, and for `max_lost_s` a
box that lies where it is expected makes it visible again under its old id. After that motion says nothing any more, and
until `max_recovery_s` only its appearance can bring it back: a box that nobody else claims, probably the same person,
no further away than a person can have gone. Then the track **dies**; its id is never given to another.

Association goes from the safest evidence to the weakest, and what one step has matched the next does not see:

1. confirmed tracks with confident boxes, by overlap with the expected box and, where it is known, by appearance;
2. confirmed tracks with weak boxes, by overlap alone, because a weak box is mostly a half hidden person whose
   appearance would mislead (ByteTrack, Zhang et al. 2022); for lost tracks the bar is higher;
3. tentative tracks with the confident boxes that are left, by overlap, and doubtful ones with weak boxes, too;
4. lost tracks with the boxes that no confirmed track has, by appearance within reach.

Appearance is computed for few boxes: `CameraTracker.wants` says for which.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from app.boxes import coverage, iou
from app.config import TrackSettings
from app.frames import NO_ID, Detections, Embeddings, TrackAppearances
from app.reid.calibrate import Calibration
from app.track.appearance import FootageAppearance
from app.track.assignment import assign
from app.track.costs import association_cost, box_similarity, crop_qualities, reach_heights
from app.track.kalman import BoxKalman, MotionNoise, move_with_camera
from app.track.tracks import Tracks

Rows = NDArray[np.int64]

NOISE = MotionNoise(measurement=(0.08, 0.1), jitter=(0.3, 0.3), acceleration=(0.8, 0.3), initial_velocity=(2.0, 2.0))
"""Found by ablation on footage of 7 to 30 frames a second; the results hardly change within half or double of each."""

BANK_SIZE = 5
"""Crops remembered of a track: enough to outvote a bad one."""

EXPECTED_OVERLAP = 0.3
"""A box that overlaps no expected box by so much (IoU) is probably somebody new."""

CLEAR_QUALITY = 0.35
"""A crop of less quality (its confidence times the square of its visible share) shows too much of somebody else."""

RIVAL_SHARE = 0.5
"""A second expected box that overlaps a box by this share of the best overlap makes the match ambiguous."""

DOUBLE_OVERLAP = 0.3
"""Two boxes that overlap by less (IoU) show two people."""

STRANGER_PROBABILITY = 0.1
"""A lost track does not continue in a box that is less probably the same person, however well the place fits."""

RETURN_SCORE, RETURN_SIMILARITY = 0.4, 0.5
"""A weak box makes a lost track visible again only from this confidence and overlap on: the doubtful boxes of a crowd
would carry lost ids away."""

SCORE_BOUNDS = 0.52, 0.95
"""No box proves a person alone, and any that may start a track counts a little."""

REACH_HEIGHTS = 0.5
"""Distance, in own heights, at which a person may reappear at once: the jitter of boxes around an occlusion."""

STILL = np.eye(2, 3)
"""Camera motion of a camera that did not move."""

WALK_HEIGHTS, WALK_HITS = 0.35, 5
"""Way, in own heights, and boxes that make doubtful boxes a person: posts and chairs stay where they are."""

MOST_COVERED = 0.3
"""A doubtful box of which others cover more is likely a part of somebody."""

TOLERANCE_S = 1e-6
"""Times are sums of floating-point numbers; a lifetime that is over by less than this is not over."""


class _Compared:
    """The boxes of a frame beside those that the T tracks expect.

    expected: (T, 4) x1 y1 x2 y2. overlap: (T, N) IoU.
    """

    def __init__(self, detections: Detections, expected: NDArray[np.float64]) -> None:
        self.detections, self.expected = detections, expected
        self.overlap = np.asarray(iou(expected, detections.boxes), np.float64)

    @cached_property
    def qualities(self) -> NDArray[np.float64]:
        """(N,) how clearly each box shows one person."""
        return crop_qualities(self.detections.boxes, self.detections.scores)


class CameraTracker:
    """Implements `Tracker` for one camera. Ids count up from `first_track_id`.

    `app.track.follower.Follower` is the same for plain arrays.

    >>> tracker = CameraTracker(TrackSettings(), "door", None, 0)
    >>> found = Detections(np.array([[10, 20, 50, 140]], np.float32), np.array([0.9], np.float32))
    >>> [tracker.update(found, Embeddings.none(1), time, STILL).tolist() for time in (0.0, 0.1)]
    [[-1], [1]]
    """

    def __init__(
        self,
        settings: TrackSettings,
        camera: str,
        calibration: Calibration | None,
        dimension: int,
        first_track_id: int = 1,
    ) -> None:
        """`dimension` is the length of an appearance vector, 0 for motion only; `calibration` is needed above 0."""
        if dimension > 0 and calibration is None:
            raise ValueError("CameraTracker needs a calibration to compare appearance vectors")
        self.camera = camera
        self._settings = settings
        self._camera_appearance = (
            FootageAppearance(calibration, dimension) if calibration is not None and dimension > 0 else None
        )
        self._kalman = BoxKalman(NOISE)
        self._tracks = Tracks(self._kalman.start(np.zeros((0, 4))), dimension, BANK_SIZE)
        self._next_id = first_track_id
        self._time = -np.inf
        self._updated_at = -np.inf
        self._compared: _Compared | None = None

    def update(
        self, detections: Detections, embeddings: Embeddings, time: float, motion: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Advance to `time`, associate, and return (N,) int64 track ids aligned with the rows of `detections`.

        Rows that belong to no confirmed track get `NO_ID`. `embeddings` may cover any subset of the rows.
        """
        self._advance(time, motion)
        tracks, settings, scores = self._tracks, self._settings, detections.scores
        confident = (scores >= settings.confident_score).nonzero()[0]
        weak = ((scores >= settings.weak_score) & (scores < settings.confident_score)).nonzero()[0]
        visible = tracks.seen_times == self._updated_at
        expected = visible | (time - tracks.seen_times <= settings.max_lost_s + TOLERANCE_S)
        compared = self._compare(detections)
        similarity = box_similarity(compared.overlap, compared.expected, detections.boxes, settings.height_power)
        p_same = self._probabilities(embeddings)
        costs = association_cost(
            similarity * scores, settings.appearance_weight * (2 * p_same - 1), settings.min_similarity
        )
        unseen = ~visible[:, None]
        costs[unseen & (p_same < STRANGER_PROBABILITY)] = np.inf
        doubtful = (scores < RETURN_SCORE) | (similarity < RETURN_SIMILARITY)
        weak_costs = np.where(unseen & doubtful, np.inf, 1 - similarity)

        box_of = np.full(len(tracks), NO_ID, np.int64)  # (T,) row of the box that continues the track
        confident = _match(box_of, tracks.confirmed & expected, confident, costs, 1 - settings.min_similarity)
        weak = _match(box_of, tracks.confirmed & expected, weak, weak_costs, 1 - settings.min_weak_similarity)
        confident = _match(box_of, ~tracks.confirmed, confident, costs, 1 - settings.min_similarity)
        weak = _match(box_of, ~tracks.confirmed & tracks.doubtful, weak, weak_costs, 1 - settings.min_weak_similarity)
        recovered, confident = self._recover(box_of, confident, detections.boxes, embeddings, time)

        self._continue(box_of, recovered, detections.boxes)
        box_of = self._end_lost(box_of, time)
        walkers = self._possible_walkers(weak, box_of, confident, detections)
        box_of = self._start(box_of, confident, detections.boxes, time, doubtful=False)
        box_of = self._start(box_of, walkers, detections.boxes, time, doubtful=True)
        self._count(box_of, scores, time)
        self._remember(box_of, detections, embeddings, time)
        self._compared = None
        self._updated_at = time
        ids = np.full(len(detections), NO_ID, np.int64)
        matched = box_of != NO_ID
        ids[box_of[matched]] = tracks.ids[matched]
        return ids

    def wants(self, detections: Detections, time: float, motion: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return (N,) bool: which boxes are worth embedding in this frame, because the answer may change something.

        Of the confident boxes these are the ones of a person who is new, or whose track was lost or has a rival for
        this box, or whose appearance is unknown, thin or old. A box that is hidden behind another one would give the
        looks of two people; it is embedded only if it is new.
        """
        self._advance(time, motion)
        tracks, settings = self._tracks, self._settings
        wanted = np.zeros(len(detections), np.bool_)
        rows = (detections.scores >= settings.confident_score).nonzero()[0]
        if self._camera_appearance is None or len(rows) == 0:
            return wanted
        compared = self._compare(detections)
        clear = compared.qualities[rows] >= CLEAR_QUALITY
        visible = tracks.seen_times == self._updated_at
        near = (visible | (time - tracks.seen_times <= settings.max_lost_s + TOLERANCE_S)).nonzero()[0]
        if len(near) == 0:
            wanted[rows] = True
            return wanted
        overlap = compared.overlap[near[:, None], rows]
        best = overlap.argmax(axis=0)
        best_overlap = overlap.max(axis=0)
        track = near[best]
        new = best_overlap < EXPECTED_OVERLAP
        lost = ~visible[track]
        rivals = (overlap >= RIVAL_SHARE * best_overlap).sum(axis=0) > 1
        appearance = tracks.appearance
        age_s = time - appearance.added_at[track]
        stale = age_s >= np.where(
            appearance.counts[track] < BANK_SIZE, settings.refresh_s / BANK_SIZE, settings.refresh_s
        )
        wanted[rows] = new | (clear & (lost | rivals | stale))
        return wanted

    def appearances(self) -> TrackAppearances:
        """Return the confirmed tracks matched by the last update, for the online gallery."""
        tracks = self._tracks
        rows = (tracks.confirmed & (tracks.seen_times == self._updated_at)).nonzero()[0]
        appearance = tracks.appearance
        return TrackAppearances(
            self.camera,
            tracks.ids[rows],
            tracks.start_times[rows],
            appearance.typical[rows],
            appearance.counts[rows],
            appearance.noises[rows],
        )

    def _advance(self, time: float, motion: NDArray[np.float64]) -> None:
        """Move every track to where it is expected at `time`; a second call for the same time does nothing."""
        if time < self._time:
            raise ValueError(f"{self.camera}: time runs backwards, from {self._time:.3f} s to {time:.3f} s")
        if time > self._time and len(self._tracks) > 0:
            predicted = self._kalman.predict(self._tracks.motion, time - self._time)
            moved = not np.array_equal(motion, STILL)
            self._tracks.motion = move_with_camera(predicted, motion) if moved else predicted
            if moved:
                self._tracks.origins = self._tracks.origins @ motion[:, :2].T + motion[:, 2]
            self._compared = None
        self._time = time

    def _compare(self, detections: Detections) -> _Compared:
        """Return what `wants` and `update` both need of a frame, computed once."""
        if self._compared is None or self._compared.detections is not detections:
            self._compared = _Compared(detections, self._tracks.motion.boxes())
        return self._compared

    def _probabilities(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """Return (T, N) P(same person) of tracks and boxes by their appearance; 0.5 where either is not known."""
        appearance = self._tracks.appearance
        p_same = np.full((len(appearance), len(embeddings)), 0.5)
        tracks, rows = (appearance.counts > 0).nonzero()[0], embeddings.valid.nonzero()[0]
        if self._camera_appearance is not None and len(tracks) and len(rows):
            p_same[tracks[:, None], rows] = self._camera_appearance.probability(
                appearance.typical[tracks], embeddings.vectors[rows]
            )
        return p_same

    def _return_probabilities(self, embeddings: Embeddings, lost: Rows, rows: Rows) -> NDArray[np.float64]:
        """Return (L, R) P that the boxes of `rows` show the `lost` tracks; 0 where either's looks are not known."""
        assert self._camera_appearance is not None
        appearance = self._tracks.appearance
        p_same = np.zeros((len(lost), len(rows)))
        known, seen = (appearance.counts[lost] > 0).nonzero()[0], embeddings.valid[rows].nonzero()[0]
        if len(known) and len(seen):
            p_same[known[:, None], seen] = self._camera_appearance.return_probability(
                appearance.typical[lost[known]], embeddings.vectors[rows[seen]]
            )
        return p_same

    def _recover(
        self,
        box_of: Rows,
        free: Rows,
        boxes: NDArray[np.float32],
        embeddings: Embeddings,
        time: float,
    ) -> tuple[Rows, Rows]:
        """Give lost tracks a box by appearance: one of the `free` rows, or one that only a tentative track claims,
        which then ends. Write `box_of`; return the recovered tracks and the rows that are still free."""
        tracks, settings = self._tracks, self._settings
        lost_s = time - tracks.seen_times
        lost = (tracks.confirmed & (box_of == NO_ID) & (lost_s <= settings.max_recovery_s + TOLERANCE_S)).nonzero()[0]
        claimed = ~tracks.confirmed & (box_of != NO_ID)
        rows = np.concatenate([free, box_of[claimed]])
        if self._camera_appearance is None or len(lost) == 0 or len(rows) == 0:
            return np.zeros(0, np.int64), free
        centers, heights = tracks.motion.position[lost, :2], tracks.motion.position[lost, 3]
        distances = reach_heights(centers, heights, boxes[rows])
        reach = REACH_HEIGHTS + settings.max_speed_heights_per_s * lost_s[lost, None]
        p_same = self._return_probabilities(embeddings, lost, rows)
        costs = np.where(distances <= reach, 1.0 - p_same, np.inf)
        matched, columns = assign(costs, 1.0 - settings.recovery_probability)
        taken = rows[columns]
        box_of[claimed & np.isin(box_of, taken)] = NO_ID
        box_of[lost[matched]] = taken
        return lost[matched], np.setdiff1d(free, taken, assume_unique=True)

    def _continue(self, box_of: Rows, recovered: Rows, boxes: NDArray[np.float32]) -> None:
        """Correct the motion of the matched tracks."""
        motion = self._tracks.motion
        matched = (box_of != NO_ID).nonzero()[0]
        motion.put(matched, self._kalman.correct(motion[matched], boxes[box_of[matched]]))
        # Where appearance brought somebody back the prediction was wrong, and with it the velocity.
        motion.put(recovered, self._kalman.start(boxes[box_of[recovered]]))
        motion.velocity[box_of == NO_ID, 2:] = 0.0  # nobody grows or shrinks for long; a glide would exaggerate

    def _remember(self, box_of: Rows, detections: Detections, embeddings: Embeddings, time: float) -> None:
        """Add the new appearance vectors of matched tracks to what is known of them, and of the camera."""
        appearance = self._tracks.appearance
        matched = (box_of != NO_ID).nonzero()[0]
        matched = matched[embeddings.valid[box_of[matched]]]
        if self._camera_appearance is None or len(matched) == 0:
            return
        rows = box_of[matched]
        qualities = self._compare(detections).qualities[rows]
        appearance.add(matched, embeddings.vectors[rows], qualities, time)
        confirmed = matched[self._tracks.confirmed[matched]]
        in_view = (self._tracks.confirmed & (box_of != NO_ID) & (appearance.counts > 0)).nonzero()[0]
        apart = iou(detections.boxes[box_of[in_view]], detections.boxes[box_of[confirmed]]) < DOUBLE_OVERLAP
        self._camera_appearance.negatives.note(
            appearance.typical[in_view],
            embeddings.vectors[box_of[confirmed]],
            apart & (in_view[:, None] != confirmed),
        )
        self._camera_appearance.meet(appearance.typical[confirmed[appearance.counts[confirmed] > 1]])

    def _end_lost(self, box_of: Rows, time: float) -> Rows:
        """Drop tentative tracks that missed a frame, and confirmed ones that were lost for too long. Return `box_of` of
        the tracks that remain."""
        tracks, settings = self._tracks, self._settings
        recognisable = tracks.appearance.counts > 0
        memory_s = np.where(recognisable, max(settings.max_lost_s, settings.max_recovery_s), settings.max_lost_s)
        remembered = tracks.confirmed & (time - tracks.seen_times <= memory_s + TOLERANCE_S)
        alive = (box_of != NO_ID) | remembered
        if alive.all():
            return box_of
        tracks.keep(alive)
        return box_of[alive]

    def _possible_walkers(self, weak: Rows, box_of: Rows, born: Rows, detections: Detections) -> Rows:
        """Return those of the rows `weak` that may be a new person who walks: not the weakest, and not a part of
        somebody who is seen anyway."""
        likely = weak[detections.scores[weak] >= self._settings.walking_score]
        if len(likely) == 0:
            return likely
        others = np.concatenate([box_of[box_of != NO_ID], born])
        covered = coverage(detections.boxes[likely], detections.boxes[others]).max(axis=1, initial=0.0)
        return likely[covered < MOST_COVERED]

    def _start(self, box_of: Rows, born: Rows, boxes: NDArray[np.float32], time: float, doubtful: bool) -> Rows:
        """Start a tentative track from each of the rows `born`. Return `box_of` with them."""
        if len(born):
            self._tracks.append(self._kalman.start(boxes[born]), time, doubtful)
        return np.concatenate([box_of, born])

    def _count(self, box_of: Rows, scores: NDArray[np.float32], time: float) -> None:
        """Count the boxes of the matched tracks, and give the next ids to tentative tracks that have enough.

        A detector's confidence is read as the probability of a person and the boxes as independent. They are not quite,
        but so two sure boxes or several doubtful ones make a person, for detectors of any temper. Boxes below
        `confident_score` prove nobody by themselves, since a post is taken for a person again and again; what walks is
        one.
        """
        tracks, settings = self._tracks, self._settings
        matched = (box_of != NO_ID).nonzero()[0]
        tracks.hits[matched] += 1
        tracks.seen_times[matched] = time
        seen = scores[box_of[matched]].astype(np.float64)
        told = logit(np.minimum(np.maximum(seen, SCORE_BOUNDS[0]), SCORE_BOUNDS[1]))
        tracks.evidence[matched] += np.where(seen >= settings.confident_score, told, 0.0)
        proven = (tracks.evidence >= logit(settings.confirm_probability)) & (tracks.hits >= settings.confirm_hits)
        way = np.linalg.norm(tracks.motion.position[:, :2] - tracks.origins, axis=1)
        walks = (way >= WALK_HEIGHTS * tracks.motion.position[:, 3]) & (tracks.hits >= WALK_HITS)
        due = (~tracks.confirmed & (proven | walks)).nonzero()[0]
        tracks.ids[due] = np.arange(self._next_id, self._next_id + len(due))
        self._next_id += len(due)


def _match(
    box_of: Rows, candidates: NDArray[np.bool_], rows: Rows, costs: NDArray[np.float64], max_cost: float
) -> Rows:
    """Assign `rows` of boxes to those `candidates` (T,) bool that have none yet; write `box_of` (T,), return the rows
    that are left over. `costs`: (T, N)."""
    tracks = (candidates & (box_of == NO_ID)).nonzero()[0]
    if len(tracks) == 0 or len(rows) == 0:
        return rows
    matched, columns = assign(costs[tracks[:, None], rows], max_cost)
    box_of[tracks[matched]] = rows[columns]
    left = np.ones(len(rows), np.bool_)
    left[columns] = False
    return rows[left]
