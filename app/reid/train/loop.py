"""Training, as one visible loop.

An output folder holds `state.pt` (everything needed to go on), `log.csv` (a line for each epoch) and `tensorboard/`
with the same, `best.safetensors` (the best weights so far by mAP on held-out people) and at the end NAME.safetensors
with its model card NAME.md.

All randomness is drawn from generators seeded by the number of the epoch or step, never from a global state, so that a
run that was interrupted and resumed takes the same steps as one that was not.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, distributed, nn

from app.config import TrainSettings
from app.errors import InputError, RunError
from app.reid.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from app.reid.osnet import OSNet
from app.reid.preprocess import Preprocessing
from app.reid.train.compiling import compiled
from app.reid.train.data import Selection, list_training_data, load_training_data
from app.reid.train.finish import finish, recipe_sha256
from app.reid.train.graph import RecordedStep
from app.reid.train.held_out import score_held_out
from app.reid.train.losses import (
    batch_hard_triplet,
    directions_apart,
    likenesses_apart,
    mutual_learning,
)
from app.reid.train.processes import average_gradients, join_processes, own_part, processor_settings
from app.reid.train.record import epoch_record
from app.reid.train.sampler import batches_by_set, with_pairs, with_unlabelled
from app.reid.train.schedule import Clock, build_optimiser, crop_height, learning_rate, set_learning_rate
from app.reid.train.state import State, load_state, save_state
from app.reid.train.student import MovingAverage, Student, classify_by_means, clone, set_training, start_from_weights
from app.reid.train.teacher import Teacher, likeness_vectors
from app.reid.train.transforms import augment, erase, resized
from app.reid.train.unlabelled import load_unlabelled
from app.system.device import choose_device
from app.system.files import claim_folder
from app.system.interrupts import interruptions
from app.system.memory import keep_freed_memory

log = logging.getLogger(__name__)


READ_LOSSES = 20
"""Steps whose losses are read from the device together."""


def train(
    settings: TrainSettings,
    data: Sequence[Path],
    output: Path,
    resume: bool,
    stop_after_steps: int | None = None,
    selection: Selection | None = None,
) -> dict[str, Any]:
    """Train and write `output`/NAME.safetensors with its model card; see the module's docstring for the other files.

    data: one or several data sets (folders or zip files, see `app.reid.datasets`).
    resume: go on from `output`/state.pt.
    stop_after_steps: save the state and return after so many steps in all, as Ctrl-C does.
    selection: which of the training pictures to use, and pairs that a human judged; by default all, and none.
    Under `torchrun` every process takes a part of each batch. Returns what the model card says, as JSON values; with
    `finished` False if it was stopped.
    Raises InputError for unusable data or settings, RunError if the loss stops being a number.
    """
    with processor_settings(settings.threads):
        return _train(settings, data, output, resume, stop_after_steps, selection)


def _train(
    settings: TrainSettings,
    data: Sequence[Path],
    output: Path,
    resume: bool,
    stop_after_steps: int | None,
    selection: Selection | None,
) -> dict[str, Any]:
    device = choose_device(settings.device, "train.device")
    rank, processes = join_processes(device)
    if settings.hours and processes > 1:
        raise InputError("train.hours: several processes would not stop at the same step; set train.epochs instead")
    if settings.people_per_batch % processes:
        raise InputError(f"train.people_per_batch: must be a multiple of the {processes} processes")
    state_file = output / "state.pt"
    claim_folder(output, "training of ReID weights", known=[state_file.name])
    if not resume and state_file.exists():
        raise InputError(f"{output}: holds a training already; use --resume to go on with it, or another --output")
    resumed = state_file.exists()

    # The pictures, as near to the network as they fit.
    people = load_training_data(
        list_training_data(data),
        settings.height_px,
        settings.width_px,
        settings.held_out_people,
        settings.seed,
        output if settings.memory_map else None,
        selection,
    )
    labels = torch.from_numpy(people.train.person_ids).to(device)
    bank = near_the_network(torch.from_numpy(people.train.pictures), device)
    preprocessing = Preprocessing(settings.height_px, settings.width_px)
    unlabelled = load_unlabelled([Path(path) for path in settings.unlabelled], settings.height_px, settings.width_px)
    more_bank = near_the_network(torch.from_numpy(unlabelled), device)
    added = settings.unlabelled_per_batch if len(unlabelled) else 0

    # The networks: students, teachers, the moving average, and what moves them.
    students = []
    for number in range(settings.students):
        torch.manual_seed(settings.seed + number)
        students.append(Student(settings, people.person_sets))
        students[-1].to(device).to(memory_format=torch.channels_last)
        if settings.start_from:
            start_from_weights(students[-1].network, settings)
            # Several students teach each other only what random classifiers make them see differently.
            if settings.students == 1 and not resumed:
                classify_by_means(students[-1], people.train, preprocessing, device)
    run = [compiled(student, device) for student in students] if settings.compile else students
    teacher = Teacher(settings.teacher, device, settings.compile) if settings.teacher else None
    if teacher is not None:
        teacher.center_on(people.train.pictures, preprocessing, device)
    likeness = [
        torch.from_numpy(likeness_vectors(settings.likeness_teachers, shown, output)).to(device)
        for shown in (people.train.pictures, unlabelled)
    ]
    average = clone(students[0].network) if settings.ema_decay else None
    moving = MovingAverage(average, students[0].network) if average is not None else None
    base = [parameter for student in students for parameter in student.base()]
    head = [parameter for student in students for parameter in student.head()]
    optimiser = build_optimiser(base, head, settings)

    # Where an earlier session ended.
    recipe = recipe_sha256(settings, people.name)
    state = State()
    if resumed:
        state = load_state(state_file, recipe, students, optimiser, average)
    kept_network = average or students[0].network
    if state.step == 0:  # before hours of training: does evaluation work?
        score_held_out(kept_network, people.held_out, preprocessing, device)

    half = settings.half if device.type == "cuda" else settings.half_on_cpu

    # One step, by itself so that CUDA can record it.
    def forward_and_backward(pictures: Tensor, people_shown: Tensor, alike: Tensor) -> Tensor:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            answers = [student(pictures, len(people_shown)) for student in run]
            lesson = teacher.vectors(pictures) if teacher is not None else None
        loss = _loss(students, answers, people_shown, lesson, alike, settings)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch doesn't say what it takes
        return loss.detach()

    recorded = RecordedStep(forward_and_backward) if device.type == "cuda" and processes == 1 else None
    clock = Clock(settings, state.seconds)
    saved_at = time.monotonic()
    recording = epoch_record(output, state.epoch) if rank == 0 else nullcontext(lambda rows: None)
    with (
        keep_freed_memory(),
        interruptions() as interrupted,
        _progress_bar(settings, state, rank) as show,
        recording as record,
    ):
        over = clock.over(state.epoch)
        while not over:
            # An epoch: its batches, drawn from its own seed.
            epoch_started, epoch_pictures = time.monotonic(), 0
            losses: list[Tensor] = []
            frozen = state.epoch < settings.frozen_epochs
            set_training(students, frozen)
            height = crop_height(int(clock.progress(state.epoch)), settings)
            width = round(height * settings.width_px / settings.height_px)
            batches = batches_by_set(
                people.train.person_ids,
                people.person_sets,
                settings.people_per_batch,
                settings.pictures_per_person,
                settings.seed,
                state.epoch,
            )
            batches = with_pairs(batches, people.pairs, settings.pairs_per_batch, settings.seed, state.epoch)
            more_batches = with_unlabelled(batches, len(unlabelled), added, settings.seed, state.epoch)
            while state.batch < len(batches):
                rows = own_part(batches[state.batch], settings.pictures_per_person, rank, processes)
                rate = learning_rate(clock.progress(state.epoch + state.batch / len(batches)), settings)
                set_learning_rate(optimiser, rate)

                # The pictures of a batch, changed as they are each time anew.
                random = torch.Generator(device).manual_seed(
                    (settings.seed * 1_000_003 + state.step) * processes + rank
                )
                numbers = torch.from_numpy(rows)
                more = torch.from_numpy(more_batches[state.batch][rank::processes])
                pictures = _gathered(bank, numbers, more_bank, more, device)
                normalised = preprocessing.normalise(augment(pictures, settings, random))
                normalised = resized(normalised, height, width)
                normalised = erase(normalised, settings.erase_probability, random)
                normalised = normalised.contiguous(memory_format=torch.channels_last)

                # Forward, backward, step.
                people_shown = labels[numbers.to(device)]
                alike = _gathered(likeness[0], numbers, likeness[1], more, device)
                if recorded is not None:
                    loss = recorded((normalised, people_shown, alike), frozen)
                else:
                    loss = forward_and_backward(normalised, people_shown, alike)
                if processes > 1:
                    average_gradients(base + head, processes)
                if settings.gradient_clip:
                    nn.utils.clip_grad_norm_(base + head, settings.gradient_clip)
                optimiser.step()
                if moving is not None:
                    moving.move(settings.ema_decay, state.step)

                losses.append(loss)
                state.batch += 1
                state.step += 1
                state.seconds = clock.step_done()
                epoch_pictures += len(pictures) * processes

                # What is shown and kept along the way.
                stop = interrupted.is_set() or state.step == stop_after_steps
                save = rank == 0 and (stop or time.monotonic() - saved_at > 60 * settings.checkpoint_minutes)
                if save or len(losses) == READ_LOSSES or state.batch == len(batches):
                    _add_losses(state, losses)
                    show(state, len(batches), epoch_pictures / (time.monotonic() - epoch_started))
                if save:
                    save_state(state_file, state, recipe, students, optimiser, average)
                    saved_at = time.monotonic()
                if interrupted.is_set():
                    raise KeyboardInterrupt
                if stop:
                    return {"finished": False, "epoch": state.epoch, "step": state.step}

            # The end of an epoch: figures, and the best weights so far.
            over = clock.over(state.epoch + 1)  # asked once: time goes on, and the last epoch has to know that it is
            row = {
                "epoch": state.epoch + 1,
                "loss": state.loss_sum / len(batches),
                "learning_rate": learning_rate(clock.progress(state.epoch + 1), settings),
                "height_px": height,
                "pictures_per_s": round(epoch_pictures / (time.monotonic() - epoch_started), 1),
            }
            state.epoch, state.batch, state.loss_sum = state.epoch + 1, 0, 0.0
            due = state.epoch % settings.evaluate_every_epochs == 0 or over
            if rank == 0 and due and len(people.held_out):
                row |= score_held_out(kept_network, people.held_out, preprocessing, device)
                if row["mAP"] >= state.best_mean_average_precision:
                    state.best_mean_average_precision = row["mAP"]
                    save_checkpoint(output / "best.safetensors", _checkpoint(kept_network, settings, preprocessing))
            state.rows.append(row)
            record(state.rows)
            if rank == 0:
                log.info("%s", ", ".join(f"{name} {value:.4g}" for name, value in row.items()))
        if rank == 0:
            save_state(state_file, state, recipe, students, optimiser, average)

    # The end: the best weights become a file with a card.
    summary: dict[str, Any] = {"finished": True, "epoch": state.epoch, "step": state.step}
    if rank == 0:
        best = output / "best.safetensors"
        chosen = load_checkpoint(best) if best.exists() else _checkpoint(kept_network, settings, preprocessing)
        summary |= finish(chosen, settings, people, data, output)
    if processes > 1:
        distributed.destroy_process_group()
    return summary


def _loss(
    students: Sequence[Student],
    answers: Sequence[tuple[Tensor, Tensor, Tensor]],
    labels: Tensor,
    lesson: Tensor | None,
    alike: Tensor,
    settings: TrainSettings,
) -> Tensor:
    """Return the weighted sum of all losses of all students.

    lesson: (N, 512) vectors of a teacher, if there is one. alike: (N, D) rows whose products are the likenesses to
    imitate; D is 0 if there are none.
    """
    total = torch.zeros((), device=labels.device)
    for number, (student, (vectors, embedded, outputs)) in enumerate(zip(students, answers, strict=True)):
        total = total + student.classifier.loss(outputs, labels)
        if settings.triplet_weight:
            total = total + settings.triplet_weight * batch_hard_triplet(vectors, labels, settings.triplet_margin)
        if settings.center_weight:
            total = total + settings.center_weight * student.center_loss(vectors, labels)
        if lesson is not None:
            total = total + settings.teacher_weight * directions_apart(embedded, lesson)
        if alike.shape[1]:
            total = total + settings.likeness_weight * likenesses_apart(embedded, alike)
        for other, (*_, other_outputs) in enumerate(answers):
            if other != number:
                total = total + mutual_learning(outputs, other_outputs) / (len(answers) - 1)
    return total


def near_the_network(pictures: Tensor, device: torch.device) -> Tensor:
    """Return (N, H, W, 3) uint8 pictures on `device` if they take less than half of what is free there, else as given.

    A batch is then gathered where it is used, and neither the processor nor the bus has a part in a step.
    """
    if device.type != "cuda" or pictures.nbytes > torch.cuda.mem_get_info(device)[0] / 2:
        return pictures
    return pictures.to(device)


def _gathered(bank: Tensor, rows: Tensor, more_bank: Tensor, more_rows: Tensor, device: torch.device) -> Tensor:
    """Return what stands in `rows` of one tensor, and behind it what stands in `more_rows` of another, on `device`."""
    taken = bank[rows.to(bank.device)].to(device, non_blocking=True)
    if not len(more_rows):
        return taken
    return torch.cat([taken, more_bank[more_rows.to(more_bank.device)].to(device, non_blocking=True)])


def _add_losses(state: State, losses: list[Tensor]) -> None:
    """Add the losses of some steps to the epoch's sum and forget them. Raises RunError if one is not a number.

    Reading a loss waits for the device, which then has nothing to do: steps are therefore read in groups.
    """
    for value in torch.stack(losses).tolist():
        if not np.isfinite(value):
            raise RunError(
                f"the loss became {value} in epoch {state.epoch + 1}: lower train.learning_rate, or raise "
                "train.warmup_epochs or train.gradient_clip; --resume goes back to the last saved state"
            )
        state.loss_sum += value
    losses.clear()


def _checkpoint(network: OSNet, settings: TrainSettings, preprocessing: Preprocessing) -> Checkpoint:
    return Checkpoint(
        settings.architecture,
        {name: value.detach().cpu() for name, value in network.state_dict().items()},
        preprocessing,
        pooling=settings.pooling,
        neck=settings.neck,
        metric="cosine",
    )


@contextmanager
def _progress_bar(settings: TrainSettings, state: State, rank: int) -> Iterator[Any]:
    """Yield a function that shows (state, batches in the epoch, pictures per second) on a terminal."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>4.1f}%"),
        TimeRemainingColumn(),
        disable=rank > 0 or not os.isatty(2),
        transient=True,
    )
    task = bar.add_task("training", total=settings.epochs, completed=state.epoch)

    def show(now: State, batches: int, speed: float) -> None:
        text = f"epoch {now.epoch + 1}/{settings.epochs}  loss {now.loss_sum / now.batch:.3f}  {speed:.0f} pictures/s"
        bar.update(task, completed=now.epoch + now.batch / batches, description=text)

    with bar:
        yield show
