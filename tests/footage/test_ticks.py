"""Cameras advance together by time: nothing recorded is lost or reordered, live cameras give their newest picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.footage.camera import SourceInfo
from app.footage.ticks import ticks
from app.frames import Frame, blank_image


class ListedSource:
    """A source that gives one blank frame for each of `times`."""

    def __init__(self, camera: str, times: Sequence[float], fps: float = 10.0, live: bool = False) -> None:
        start = times[0] if times else 0.0
        self.info = SourceInfo(camera, 8, 6, fps, len(times), start, live, False, camera, None, ())
        self.problem = ""
        self.first_index = 0
        self.dropped = 0
        self.decoded = 0
        self.stopped = threading.Event()
        self._times = times

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.first_index, len(self._times)):
            self.decoded += 1
            yield Frame(self.info.camera, index, self._times[index], blank_image(6, 8), False)

    def stop(self) -> None:
        self.stopped.set()


class WaitingSource(ListedSource):
    """A live source: gives all its frames at once, then waits to be stopped like a stream that is lost."""

    def __iter__(self) -> Iterator[Frame]:
        yield from super().__iter__()
        self.stopped.wait(5.0)


def keys(frames: Sequence[Frame]) -> list[tuple[str, int]]:
    return [(frame.camera, frame.index) for frame in frames]


def decoding_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("decode ")]


rising_times = st.lists(st.integers(0, 3000), unique=True, max_size=40).map(lambda ms: [t / 1000 for t in sorted(ms)])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(rising_times, st.sampled_from([5.0, 10.0, 30.0])), min_size=1, max_size=4))
def test_every_frame_once_in_order_and_time_never_runs_back(cameras: list[tuple[list[float], float]]) -> None:
    sources = [ListedSource(f"c{row}", times, fps) for row, (times, fps) in enumerate(cameras)]
    seen = list(ticks(sources, queue_frames=3))
    for source, (times, _) in zip(sources, cameras, strict=True):
        own = [frame.time for tick in seen for frame in tick if frame.camera == source.info.camera]
        assert own == times
    assert all(len({frame.camera for frame in tick}) == len(tick) > 0 for tick in seen)
    assert all(max(f.time for f in a) <= min(f.time for f in b) for a, b in pairwise(seen))


def test_cameras_of_different_rate_meet_where_they_have_a_frame() -> None:
    fast = ListedSource("fast", [n / 30 for n in range(31)], 30.0)
    slow = ListedSource("slow", [n / 10 for n in range(11)], 10.0)
    seen = list(ticks([slow, fast]))
    assert len(seen) == 31
    assert all("fast" in {frame.camera for frame in tick} for tick in seen)
    together = [keys(tick) for tick in seen if len(tick) == 2]
    assert together == [[("slow", n), ("fast", 3 * n)] for n in range(11)]


def test_cameras_of_nearly_the_same_rate_stay_together() -> None:
    a = ListedSource("a", [n / 29.97 for n in range(60)], 29.97)
    b = ListedSource("b", [0.009 + n / 29.97 for n in range(60)], 29.97)
    assert [keys(tick) for tick in ticks([a, b])] == [[("a", n), ("b", n)] for n in range(60)]


def test_a_camera_that_starts_later_and_one_that_ends_sooner() -> None:
    early = ListedSource("early", [0.0, 0.1, 0.2])
    late = ListedSource("late", [0.2, 0.3, 0.4])
    assert [keys(tick) for tick in ticks([early, late])] == [
        [("early", 0)],
        [("early", 1)],
        [("early", 2), ("late", 0)],
        [("late", 1)],
        [("late", 2)],
    ]


def test_resuming_starts_each_camera_at_its_own_frame() -> None:
    a, b = ListedSource("a", [n / 10 for n in range(10)]), ListedSource("b", [n / 10 for n in range(10)])
    seen = list(ticks([a, b], {"a": 7, "b": 8}))
    assert [keys(tick) for tick in seen] == [[("a", 7)], [("a", 8), ("b", 8)], [("a", 9), ("b", 9)]]


def test_decoding_runs_ahead_but_not_without_bound() -> None:
    source = ListedSource("a", [n / 10 for n in range(100)])
    running = ticks([source], queue_frames=4)
    next(running)
    deadline = time.monotonic() + 2.0
    while source.decoded < 6 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert source.decoded == 6, "one taken, four in the queue, one that waits for room"
    running.close()


def test_closing_early_joins_every_thread() -> None:
    sources = [ListedSource(f"c{row}", [n / 10 for n in range(1000)]) for row in range(3)]
    running = ticks(sources, queue_frames=2)
    next(running)
    assert len(decoding_threads()) == 3
    running.close()
    assert decoding_threads() == []
    assert all(source.stopped.is_set() for source in sources)


def test_no_thread_is_left_at_the_end() -> None:
    assert len(list(ticks([ListedSource("a", [0.0, 0.1])]))) == 2
    assert decoding_threads() == []


def test_no_sources_give_no_ticks() -> None:
    assert list(ticks([])) == []


def test_a_bug_in_a_source_is_raised_after_its_good_frames() -> None:
    class Broken(ListedSource):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            raise ZeroDivisionError("bug")

    seen: list[list[Frame]] = []
    with pytest.raises(ZeroDivisionError, match="bug"):
        seen.extend(ticks([Broken("a", [0.0, 0.1, 0.2]), ListedSource("b", [0.0])]))
    assert decoding_threads() == []


def test_live_cameras_give_their_newest_picture_and_count_the_rest() -> None:
    source = WaitingSource("cam", [n / 10 for n in range(30)], live=True)
    other = WaitingSource("other", [0.05], live=True)
    running = ticks([source, other], queue_frames=4)
    indices = [frame.index for frame in next(running) if frame.camera == "cam"]
    deadline = time.monotonic() + 2.0
    while indices[-1:] != [29] and time.monotonic() < deadline:
        indices += [frame.index for frame in next(running) if frame.camera == "cam"]
    running.close()
    assert indices[-1] == 29
    assert indices == sorted(set(indices))
    assert source.dropped == 30 - len(indices)
    assert decoding_threads() == []


def test_live_ticks_end_when_all_cameras_are_given_up() -> None:
    source = ListedSource("cam", [0.0, 0.1], live=True)
    assert keys([frame for tick in ticks([source]) for frame in tick])[-1] == ("cam", 1)
