"""What a training says of each epoch: a line of `log.csv`, and the same numbers for TensorBoard.

`tensorboard --logdir OUTPUT` draws them. Both are true after an interruption: the table is written anew each time, and
TensorBoard is told from which epoch on its older events no longer count.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

COLUMNS = ("epoch", "loss", "learning_rate", "height_px", "pictures_per_s", "rank1", "mAP")
"""Of `log.csv`; the scores are of held-out people and empty in epochs that were not evaluated."""

Rows = Sequence[Mapping[str, float]]


@contextmanager
def epoch_record(output: Path, epochs_done: int) -> Iterator[Callable[[Rows], None]]:
    """Yield a function that is given the rows of all epochs so far whenever one has ended.

    output: gets `log.csv` and `tensorboard/`. epochs_done: epochs that a resumed training does not repeat.
    """
    from torch.utils.tensorboard import SummaryWriter  # takes seconds to import: not before a training runs

    events = SummaryWriter(output / "tensorboard", purge_step=epochs_done + 1)

    def record(rows: Rows) -> None:
        _write_table(output / "log.csv", rows)
        latest = rows[-1]
        for name in COLUMNS[1:]:
            if name in latest:
                events.add_scalar(name, latest[name], int(latest["epoch"]))
        events.flush()

    try:
        yield record
    finally:
        events.close()


def _write_table(path: Path, rows: Rows) -> None:
    """Write all epochs anew, so that a resumed run never leaves a line twice."""
    unfinished = path.with_name(f".{path.name}.part")
    with unfinished.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    unfinished.replace(path)
