"""Augmentation as operations on a whole batch, on whatever device it is on.

Randomness comes from a generator that the caller seeds with the number of the step, so that a resumed run sees the
pictures that an uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from app.config import TrainSettings

Change = TypeVar("Change")


def augment(pictures: Tensor, settings: TrainSettings, random: torch.Generator) -> Tensor:
    """Return changed copies of (N, H, W, 3) uint8 BGR pictures: float32, still in 0..255.

    In this order: mirror, zoom and shift, policy, colour, size, a patch of another picture.
    """
    changed = mirror_and_shift(pictures, settings.mirror, settings.shift_share, random, settings.zoom_share).float()
    if settings.policy_probability > 0:
        changed = apply_policy(changed, settings.policy_probability, random)
    if settings.colour_jitter > 0:
        changed = jitter_colours(changed, settings.colour_jitter, random)
    if settings.far_probability > 0:
        changed = look_far_away(changed, settings.far_probability, random)
    if settings.patch_probability > 0:
        changed = paste_patches(changed, settings.patch_probability, random)
    return changed


def mirror_and_shift(
    pictures: Tensor, mirror: bool, shift_share: float, random: torch.Generator, zoom_share: float = 0.0
) -> Tensor:
    """Mirror every second picture and shift all by up to `shift_share` of the height; border pixels are repeated.

    Every second one is enlarged by up to `zoom_share` and cut at random (after Torchreid's "random 2D translation",
    which enlarges by 0.125). All of it only gathers pixels, none is blended. Takes and returns (N, H, W, 3).
    """
    count, height, width = pictures.shape[:3]
    reach = round(shift_share * height)
    device = pictures.device
    down = torch.randint(-reach, reach + 1, (count, 1), generator=random, device=device)
    across = torch.randint(-reach, reach + 1, (count, 1), generator=random, device=device)
    rows = torch.arange(height, device=device).expand(count, -1)
    columns = torch.arange(width, device=device).expand(count, -1)
    if zoom_share:
        drawn = torch.rand((4, count, 1), generator=random, device=device)
        shown = 1 / (1 + zoom_share * torch.where(drawn[0] < 0.5, drawn[1], 0.0))
        rows = ((rows + 0.5) * shown + drawn[2] * (1 - shown) * height).long()
        columns = ((columns + 0.5) * shown + drawn[3] * (1 - shown) * width).long()
    rows = (rows + down).clamp(0, height - 1)
    columns = (columns + across).clamp(0, width - 1)
    if mirror:
        mirrored = torch.rand((count, 1), generator=random, device=device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    number = torch.arange(count, device=device)
    return pictures[number[:, None, None], rows[:, :, None], columns[:, None, :]]


def jitter_colours(pictures: Tensor, strength: float, random: torch.Generator) -> Tensor:
    """Scale brightness, contrast and saturation of each picture by factors in 1 ± `strength`. (N, H, W, 3) float."""

    def factor() -> Tensor:
        drawn = torch.rand((len(pictures), 1, 1, 1), generator=random, device=pictures.device)
        return 1 + strength * (2 * drawn - 1)

    brighter = pictures * factor()
    mean = brighter.mean((1, 2, 3), keepdim=True)
    contrasted = torch.lerp(mean, brighter, factor())
    grey = contrasted.mean(3, keepdim=True)
    return torch.lerp(grey, contrasted, factor()).clamp(0, 255)


def apply_policy(pictures: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Apply one operation of `POLICY`, drawn for each picture, with a probability. (N, H, W, 3) float in 0..255.

    In the manner of TrivialAugment (Müller & Hutter, ICCV 2021), the descendant of AutoAugment (Cubuk et al., CVPR
    2019) that needs no search: one operation, any strength.
    """
    strength = 2 * torch.rand(len(pictures), generator=random, device=pictures.device) - 1
    result = pictures.clone()
    for operation, rows in _by_lot(POLICY, pictures, probability, random, use=1):
        result[rows] = operation(pictures[rows], strength[rows].view(-1, 1, 1, 1)).clamp(0, 255)
    return result


def look_far_away(pictures: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Scale pictures down to between a half and an eighth, and up again, with a probability. (N, H, W, 3) float.

    People far from a camera are that small, and a network that has only seen sharp ones describes their blur.
    """
    channels_first = pictures.permute(0, 3, 1, 2)
    height, width = channels_first.shape[2:]
    result = pictures.clone()
    for share, rows in _by_lot(FARAWAY, pictures, probability, random, use=2):
        small = resized(channels_first[rows], max(1, round(height * share)), max(1, round(width * share)))
        result[rows] = resized(small, height, width).permute(0, 2, 3, 1)
    return result


def resized(pictures: Tensor, height: int, width: int) -> Tensor:
    """Return (N, C, H, W) float pictures as (N, C, height, width)."""
    if pictures.shape[2:] == (height, width):
        return pictures
    return functional.interpolate(pictures, (height, width), mode="bilinear", antialias=True)


def _by_lot(
    changes: Sequence[Change], pictures: Tensor, probability: float, random: torch.Generator, use: int
) -> Iterator[tuple[Change, Tensor]]:
    """Draw one of `changes` for each picture, with a probability; yield each that was drawn with its rows.

    It is drawn on the CPU, since asking a GPU for row numbers waits for all that it still has to do, by a generator
    that follows from the seed of `random` and is another one for each `use`.
    """
    seed = (random.initial_seed() + use * 0x9E3779B9) % 2**32  # all that a generator on the CPU takes
    on_processor = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(changes), (len(pictures),), generator=on_processor)
    changed = torch.rand(len(pictures), generator=on_processor) < probability
    for number, change in enumerate(changes):
        rows = torch.nonzero(changed & (chosen == number)).ravel()
        if len(rows):
            yield change, rows.to(pictures.device)


def _brightness(pictures: Tensor, strength: Tensor) -> Tensor:
    return pictures * (1 + 0.6 * strength)


def _contrast(pictures: Tensor, strength: Tensor) -> Tensor:
    return torch.lerp(pictures.mean((1, 2, 3), keepdim=True), pictures, 1 + 0.6 * strength)


def _saturation(pictures: Tensor, strength: Tensor) -> Tensor:
    return torch.lerp(pictures.mean(3, keepdim=True), pictures, 1 + 0.8 * strength)


def _sharpness(pictures: Tensor, strength: Tensor) -> Tensor:
    channels_first = pictures.permute(0, 3, 1, 2)
    blurred = functional.avg_pool2d(functional.pad(channels_first, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return torch.lerp(blurred.permute(0, 2, 3, 1), pictures, 1 + strength)


def _stretch(pictures: Tensor, strength: Tensor) -> Tensor:
    """Stretch each channel to the whole range, by the strength's size (autocontrast)."""
    low, high = pictures.amin((1, 2), keepdim=True), pictures.amax((1, 2), keepdim=True)
    return torch.lerp(pictures, (pictures - low) * (255 / (high - low).clamp(min=1)), strength.abs())


def _posterise(pictures: Tensor, strength: Tensor) -> Tensor:
    step = 2 ** (1 + (4 * strength.abs()).round())  # 7 to 3 bits are left
    return (pictures / step).floor() * step + step / 2


def _move(pictures: Tensor, by: Tensor) -> Tensor:
    """Sample each picture through its affine map (n, 2, 3), in coordinates from -1 to 1; borders are repeated."""
    channels_first = pictures.permute(0, 3, 1, 2)
    grid = functional.affine_grid(by, list(channels_first.shape), align_corners=False)
    moved = functional.grid_sample(channels_first, grid, padding_mode="border", align_corners=False)
    return moved.permute(0, 2, 3, 1)


def _rotate(pictures: Tensor, strength: Tensor) -> Tensor:
    """Rotate by up to 15 degrees."""
    angle = strength.ravel() * math.radians(15)
    aspect = pictures.shape[1] / pictures.shape[2]
    cosine, sine, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    rows = torch.stack([cosine, -sine * aspect, zero, sine / aspect, cosine, zero], 1)
    return _move(pictures, rows.view(-1, 2, 3))


def _shear(pictures: Tensor, strength: Tensor) -> Tensor:
    """Push the head to one side and the feet to the other, by up to a tenth of the height."""
    push = strength.ravel() * 0.2 * pictures.shape[1] / pictures.shape[2]
    one, zero = torch.ones_like(push), torch.zeros_like(push)
    return _move(pictures, torch.stack([one, push, zero, zero, one, zero], 1).view(-1, 2, 3))


POLICY: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    _brightness,
    _contrast,
    _saturation,
    _sharpness,
    _stretch,
    _posterise,
    _rotate,
    _shear,
)
"""Operations on (n, H, W, 3) pictures with (n, 1, 1, 1) strengths from -1 to 1. Hue is left alone: the colours of
clothes are what tells people apart."""

FARAWAY = (1 / 2, 1 / 3, 1 / 4, 1 / 6, 1 / 8)
"""Sizes that `look_far_away` draws from, as shares of a picture's."""


def paste_patches(pictures: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Cover a rectangle of a picture by the same rectangle of another one of the batch (Zhou et al., TPAMI 2021)."""
    covered = rectangles(pictures, probability, random)
    return torch.where(covered[..., None], pictures.roll(len(pictures) // 2, 0), pictures)


def erase(normalised: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Set a rectangle of a picture to the mean colour, which is 0 after normalising (Zhong et al., AAAI 2020).

    Takes and returns (N, 3, H, W).
    """
    erased = rectangles(normalised.permute(0, 2, 3, 1), probability, random)
    return normalised.masked_fill(erased[:, None], 0)


def rectangles(pictures: Tensor, probability: float, random: torch.Generator) -> Tensor:
    """Draw a rectangle in each of (N, H, W, 3) pictures with a probability; return (N, H, W) bool, True inside.

    It covers 2 to 40 % of the picture, with sides in a ratio between 0.3 and 3.3.
    """
    count, height, width = pictures.shape[:3]

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=random, device=pictures.device)

    area = uniform(0.02, 0.4) * height * width
    ratio = torch.exp(uniform(-1.2, 1.2))
    tall = (area * ratio).sqrt().clamp(max=height)
    wide = (area / ratio).sqrt().clamp(max=width)
    top = uniform(0, 1) * (height - tall)
    left = uniform(0, 1) * (width - wide)
    drawn = uniform(0, 1) < probability
    y = torch.arange(height, device=pictures.device)[None, :]
    x = torch.arange(width, device=pictures.device)[None, :]
    rows = (y >= top[:, None]) & (y < (top + tall)[:, None]) & drawn[:, None]
    columns = (x >= left[:, None]) & (x < (left + wide)[:, None])
    return rows[:, :, None] & columns[:, None, :]
