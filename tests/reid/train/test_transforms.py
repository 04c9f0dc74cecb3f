"""Augmentation: what it does to a batch, and that the same generator does it again."""

from __future__ import annotations

import itertools
import math

import torch
from torch.nn import functional

from app.config import TrainSettings
from app.reid.train.transforms import (
    POLICY,
    apply_policy,
    augment,
    erase,
    jitter_colours,
    look_far_away,
    mirror_and_shift,
    paste_patches,
    rectangles,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


PICTURES = torch.randint(0, 256, (64, 32, 16, 3), dtype=torch.uint8, generator=generator(7))


def test_without_anything_pictures_stay_as_they_are() -> None:
    settings = TrainSettings(mirror=False, shift_share=0, erase_probability=0)
    torch.testing.assert_close(augment(PICTURES, settings, generator()), PICTURES.float())


def test_the_same_seed_gives_the_same_pictures() -> None:
    settings = TrainSettings(colour_jitter=0.3, patch_probability=0.5, shift_share=0.1)
    first = augment(PICTURES, settings, generator(3))
    torch.testing.assert_close(first, augment(PICTURES, settings, generator(3)))
    assert not torch.equal(first, augment(PICTURES, settings, generator(4)))
    assert first.dtype == torch.float32
    assert first.min() >= 0
    assert first.max() <= 255


def test_about_half_are_mirrored_and_the_rest_untouched() -> None:
    changed = mirror_and_shift(PICTURES, True, 0.0, generator())
    same = (changed == PICTURES).all((1, 2, 3))
    mirrored = (changed == PICTURES.flip(2)).all((1, 2, 3))
    assert (same ^ mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_shifts_stay_within_reach_and_repeat_the_border() -> None:
    ramp = torch.arange(40, dtype=torch.uint8).view(1, 40, 1, 1).expand(64, 40, 20, 3)
    shifted = mirror_and_shift(ramp, False, 0.1, generator())
    moved = shifted[:, 20, 10, 0].int() - 20
    assert moved.abs().max() == 4
    assert len(moved.unique()) > 5
    for row, down in zip(shifted[:, :, 0, 0].int(), moved, strict=True):
        torch.testing.assert_close(row, (torch.arange(40, dtype=torch.int32) + down).clamp(0, 39))


def test_every_second_picture_is_enlarged_and_cut_at_random() -> None:
    ramp = torch.arange(200, dtype=torch.uint8).view(1, 200, 1, 1).expand(64, 200, 20, 3)
    zoomed = mirror_and_shift(ramp, False, 0.0, generator(), 0.25)[:, :, 10, 0].int()
    first, last = zoomed[:, 0], zoomed[:, -1]
    as_it_was = (zoomed == ramp[:, :, 10, 0].int()).all(1)
    assert 16 < as_it_was.sum() < 48
    shown = (last - first)[~as_it_was] / 199
    assert 0.79 <= shown.min() < 0.85
    assert 0.95 < shown.max() <= 1
    assert (zoomed.diff(dim=1) >= 0).all()
    assert len(first[~as_it_was].unique()) > 10
    assert (first >= 0).all()
    assert (last <= 199).all()


def test_colours_vary_between_pictures_and_not_within() -> None:
    grey = torch.full((50, 8, 4, 3), 100.0)
    changed = jitter_colours(grey, 0.2, generator())
    assert (changed == changed[:, :1, :1, :1]).all()
    assert 80 <= changed.min() < 90
    assert 110 < changed.max() <= 120


def test_patches_come_from_another_picture() -> None:
    numbered = torch.arange(10.0).view(10, 1, 1, 1).expand(10, 32, 16, 3)
    pasted = paste_patches(numbered, 1.0, generator())
    for number, picture in enumerate(pasted):
        assert set(picture.unique().tolist()) == {float(number), float((number + 5) % 10)}


def test_erased_rectangles_are_zero_and_of_the_stated_size() -> None:
    erased = erase(torch.ones(400, 3, 64, 32), 0.5, generator()) == 0
    share = erased[:, 0].float().mean((1, 2))
    assert (erased[:, :1] == erased).all()
    assert 140 < (share > 0).sum() < 260
    assert share.max() < 0.45
    assert share[share > 0].min() > 0.01


def test_rectangles_have_four_corners() -> None:
    for inside in rectangles(PICTURES, 1.0, generator()):
        rows, columns = inside.any(1), inside.any(0)
        assert (inside == (rows[:, None] & columns[None, :])).all()
        assert rows.diff().sum() <= 2


def test_a_policy_changes_some_pictures_by_one_operation_each() -> None:
    pictures = PICTURES.float()
    changed = apply_policy(pictures, 0.5, generator(1))
    torch.testing.assert_close(changed, apply_policy(pictures, 0.5, generator(1)))
    touched = (changed != pictures).flatten(1).any(1)
    assert 0.25 < touched.float().mean() < 0.75
    assert changed.min() >= 0
    assert changed.max() <= 255
    torch.testing.assert_close(apply_policy(pictures, 0.0, generator(1)), pictures)
    settings = TrainSettings(mirror=False, shift_share=0, policy_probability=0.5)
    assert not torch.equal(augment(PICTURES, settings, generator()), pictures)


def test_operations_do_nothing_without_strength_and_differ_with_it() -> None:
    pictures = functional.avg_pool2d(PICTURES[:4].float().permute(0, 3, 1, 2), 3, 1, 1).permute(0, 2, 3, 1)
    none, full = torch.zeros(4, 1, 1, 1), torch.ones(4, 1, 1, 1)
    results = []
    for operation in POLICY:
        allowed = 1.0 if operation.__name__ == "_posterise" else 1e-3  # the lowest bit is always lost
        torch.testing.assert_close(operation(pictures, none), pictures, atol=allowed, rtol=0, msg=operation.__name__)
        results.append(operation(pictures, full))
        assert (results[-1] - pictures).abs().max() > 5, operation.__name__
    for first, second in itertools.combinations(results, 2):
        assert (first - second).abs().max() > 1


def test_rotation_keeps_a_disc_and_turns_a_bar() -> None:
    rotate = next(operation for operation in POLICY if operation.__name__ == "_rotate")
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(32) - 15.5, indexing="ij")
    disc = 255.0 * ((x**2 + y**2) < 100)[None, :, :, None].expand(1, 64, 32, 3)
    bar = 255.0 * (x.abs() < 2)[None, :, :, None].expand(1, 64, 32, 3)
    full = torch.ones(1, 1, 1, 1)
    assert (rotate(disc, full) - disc).abs().mean() < 5  # round also where a picture is twice as high as wide
    turned = rotate(bar, full)[0, :, :, 0]
    centres = (turned * x).sum(1) / turned.sum(1)
    slope = (centres[50] - centres[13]) / (50 - 13)
    torch.testing.assert_close(slope.abs(), torch.tensor(math.tan(math.radians(15))), atol=0.03, rtol=0)


def test_faraway_people_lose_detail_and_keep_their_size_and_colour() -> None:
    pictures = PICTURES.float()
    changed = look_far_away(pictures, 0.5, generator())
    assert changed.shape == pictures.shape
    same = (changed == pictures).all((1, 2, 3))
    assert 16 < same.sum() < 48
    assert (changed[~same].std((1, 2)) < 0.7 * pictures[~same].std((1, 2))).all()
    torch.testing.assert_close(changed.mean((1, 2)), pictures.mean((1, 2)), rtol=0, atol=12)


def test_whose_policy_changes_says_nothing_of_who_looks_far_away() -> None:
    pictures = PICTURES.float()
    both = [
        (change(pictures, 0.5, generator(5)) != pictures).any(3).any(2).any(1)
        for change in (apply_policy, look_far_away)
    ]
    together = (both[0] & both[1]).sum().item()
    assert 6 < together < min(both[0].sum().item(), both[1].sum().item()) - 6
