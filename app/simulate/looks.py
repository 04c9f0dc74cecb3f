"""What a simulated person looks like: build, skin, hair, clothing and bags, drawn from a seed.

A person's look depends on the seed and the person's number only, so it is the same in every camera and on every
return. Main clothing colours are dealt out like cards rather than rolled, so that few people share a combination.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

T = TypeVar("T")

Colour = tuple[float, float, float]
"""Blue, green, red, each 0 to 255, before light falls on it."""

Pattern = Literal["plain", "stripes", "pinstripes", "checks", "two_tone", "print", "dots"]
Upper = Literal["tshirt", "shirt", "jacket", "coat"]
Lower = Literal["trousers", "jeans", "shorts", "skirt"]
Hair = Literal["short", "long", "bun", "bald"]
Hat = Literal["none", "cap", "beanie", "brim"]
Bag = Literal["none", "backpack", "shoulder", "hand"]

UPPER_COLOURS: tuple[Colour, ...] = (
    (40, 40, 178),  # red
    (205, 208, 212),  # white
    (150, 82, 34),  # blue
    (52, 50, 50),  # black
    (50, 178, 214),  # yellow
    (72, 112, 44),  # green
    (150, 110, 205),  # pink
    (86, 48, 30),  # navy
    (122, 122, 124),  # grey
    (42, 104, 205),  # orange
    (120, 52, 92),  # purple
    (140, 168, 192),  # beige
    (190, 150, 92),  # light blue
    (62, 88, 92),  # olive
    (52, 34, 98),  # burgundy
    (140, 138, 44),  # teal
)
LOWER_COLOURS: tuple[Colour, ...] = (
    (88, 62, 44),  # denim
    (48, 46, 46),  # black
    (118, 150, 172),  # khaki
    (104, 104, 106),  # grey
    (72, 44, 32),  # navy
    (190, 196, 200),  # off-white
    (150, 118, 84),  # light denim
    (52, 70, 96),  # brown
    (60, 78, 72),  # olive
    (62, 46, 108),  # wine
)
SKIN_COLOURS: tuple[Colour, ...] = (
    (150, 178, 222),
    (128, 158, 206),
    (104, 136, 188),
    (78, 108, 160),
    (54, 80, 124),
    (40, 58, 92),
)
HAIR_COLOURS: tuple[Colour, ...] = (
    (28, 26, 28),
    (34, 44, 62),
    (48, 72, 108),
    (98, 150, 190),
    (140, 140, 142),
    (40, 62, 132),
)
SHOE_COLOURS: tuple[Colour, ...] = ((36, 36, 38), (200, 204, 206), (48, 66, 96), (96, 62, 48), (60, 60, 160))
UNIFORM_UPPER: Colour = (42, 104, 205)
UNIFORM_LOWER: Colour = (72, 44, 32)


@dataclass(frozen=True, slots=True)
class Look:
    """One person's looks. `height_m` is the height of the crown; `build` scales widths (1 is average)."""

    height_m: float
    build: float
    skin: Colour
    hair: Hair
    hair_colour: Colour
    beard: bool
    hat: Hat
    hat_colour: Colour
    upper: Upper
    upper_colour: Colour
    second_colour: Colour
    pattern: Pattern
    long_sleeves: bool
    shirt_colour: Colour
    lower: Lower
    lower_colour: Colour
    shoe_colour: Colour
    bag: Bag
    bag_colour: Colour
    bag_side: int
    texture_seed: int
    stride_swing: float
    walking_speed_mps: float


def look_of(seed: int, person: int, uniforms: bool, people_per_outfit: int = 1) -> Look:
    """Return the look of `person` (from 1) in the scene of `seed`.

    uniforms: everyone wears the same working clothes. people_per_outfit: so many people who follow each other in number
    wear the clothes of the first of them; their bodies, their hair and what they carry are their own.
    """
    look = _own_look(seed, person)
    if uniforms:
        return _in_uniform(look)
    first = person - (person - 1) % people_per_outfit
    return look if first == person else _dressed_like(look, _own_look(seed, first))


def _own_look(seed: int, person: int) -> Look:
    deal = np.random.default_rng([seed, 11])
    upper_deck = deal.permutation(len(UPPER_COLOURS))
    lower_deck = deal.permutation(len(LOWER_COLOURS))
    rng = np.random.default_rng([seed, 12, person])

    def vary(colour: Colour, amount: float = 10.0) -> Colour:
        dyed = np.asarray(colour) + rng.normal(0, amount, 3)
        blue, green, red = np.clip(0.88 * dyed + 0.12 * dyed.mean(), 8, 235)
        return float(blue), float(green), float(red)

    upper_index = int(upper_deck[(person - 1) % len(UPPER_COLOURS)])
    lower_index = int(lower_deck[(person - 1) * 3 % len(LOWER_COLOURS)])
    second_index = (upper_index + int(rng.integers(3, len(UPPER_COLOURS) - 2))) % len(UPPER_COLOURS)
    shirt_index = (upper_index + int(rng.integers(1, len(UPPER_COLOURS)))) % len(UPPER_COLOURS)
    upper: Upper = _pick(rng, ("tshirt", "shirt", "jacket", "coat"), (0.34, 0.26, 0.28, 0.12))
    lower: Lower = _pick(rng, ("trousers", "jeans", "shorts", "skirt"), (0.36, 0.34, 0.16, 0.14))
    hair: Hair = _pick(rng, ("short", "long", "bun", "bald"), (0.52, 0.26, 0.12, 0.10))
    plain_only = upper in ("jacket", "coat")
    pattern: Pattern = _pick(
        rng,
        ("plain", "stripes", "pinstripes", "checks", "two_tone", "print", "dots"),
        (0.8, 0, 0, 0, 0.2, 0, 0) if plain_only else (0.34, 0.16, 0.07, 0.12, 0.13, 0.12, 0.06),
    )
    return Look(
        height_m=float(np.clip(rng.normal(1.72, 0.09), 1.5, 1.98)),
        build=float(np.clip(rng.normal(1.0, 0.11), 0.8, 1.3)),
        skin=vary(SKIN_COLOURS[int(rng.integers(len(SKIN_COLOURS)))], 6),
        hair=hair,
        hair_colour=vary(HAIR_COLOURS[int(rng.integers(len(HAIR_COLOURS)))], 5),
        beard=hair in ("short", "bald") and rng.random() < 0.3,
        hat=_pick(rng, ("none", "cap", "beanie", "brim"), (0.76, 0.12, 0.08, 0.04)),
        hat_colour=vary(UPPER_COLOURS[int(rng.integers(len(UPPER_COLOURS)))]),
        upper=upper,
        upper_colour=vary(UPPER_COLOURS[upper_index]),
        second_colour=vary(UPPER_COLOURS[second_index]),
        pattern=pattern,
        long_sleeves=upper in ("jacket", "coat") or rng.random() < (0.25 if upper == "tshirt" else 0.7),
        shirt_colour=vary(UPPER_COLOURS[shirt_index]),
        lower=lower,
        lower_colour=vary(LOWER_COLOURS[lower_index], 7),
        shoe_colour=vary(SHOE_COLOURS[int(rng.integers(len(SHOE_COLOURS)))], 6),
        bag=_pick(rng, ("none", "backpack", "shoulder", "hand"), (0.5, 0.22, 0.18, 0.10)),
        bag_colour=vary(UPPER_COLOURS[int(rng.integers(len(UPPER_COLOURS)))]),
        bag_side=int(rng.choice([-1, 1])),
        texture_seed=int(rng.integers(2**31)),
        stride_swing=float(rng.uniform(0.38, 0.5)),
        walking_speed_mps=float(rng.uniform(1.05, 1.55)),
    )


def _pick(rng: np.random.Generator, values: tuple[T, ...], shares: tuple[float, ...]) -> T:
    return values[int(rng.choice(len(values), p=shares))]


def _dressed_like(look: Look, other: Look) -> Look:
    """Return the look in the clothes of another: hat, upper, lower and shoes, in the very same colours."""
    return replace(
        look,
        hat=other.hat,
        hat_colour=other.hat_colour,
        upper=other.upper,
        upper_colour=other.upper_colour,
        second_colour=other.second_colour,
        pattern=other.pattern,
        long_sleeves=other.long_sleeves,
        shirt_colour=other.shirt_colour,
        lower=other.lower,
        lower_colour=other.lower_colour,
        shoe_colour=other.shoe_colour,
        texture_seed=other.texture_seed,
    )


def _in_uniform(look: Look) -> Look:
    """Return the look in working clothes: body, skin, hair and beard stay, everything worn is the same for all."""
    return replace(
        look,
        hat="none",
        upper="jacket",
        upper_colour=UNIFORM_UPPER,
        second_colour=UNIFORM_LOWER,
        pattern="two_tone",
        long_sleeves=True,
        shirt_colour=UNIFORM_UPPER,
        lower="trousers",
        lower_colour=UNIFORM_LOWER,
        shoe_colour=(36, 36, 38),
        bag="none",
    )
