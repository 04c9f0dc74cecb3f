"""Dressing a person: head, hair, hat, torso, sleeves, trousers, skirts, shoes and bags as parts on the skeleton.

Numbers are metres on a person of 1.75 m.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app.simulate.figure import (
    ARM_L,
    ARM_R,
    FOOT_L,
    FOOT_R,
    FOREARM_L,
    FOREARM_M,
    FOREARM_R,
    HEAD,
    HIP_M,
    SHIN_L,
    SHIN_M,
    SHIN_R,
    SHOULDER_M,
    THIGH_L,
    THIGH_M,
    THIGH_R,
    TORSO,
    UPPER_ARM_M,
    Float,
)
from app.simulate.looks import Colour, Look
from app.simulate.tailor import Body, Part, Tailor


def build_body(look: Look, spacing_m: float) -> Body:
    """Return the points of a dressed person, about `spacing_m` apart on every surface."""
    tailor = Tailor(look, spacing_m)
    _add_head(tailor)
    _add_torso(tailor)
    for side, arm, forearm in ((1, ARM_R, FOREARM_R), (-1, ARM_L, FOREARM_L)):
        _add_arm(tailor, side, arm, forearm)
    for thigh, shin, foot in ((THIGH_R, SHIN_R, FOOT_R), (THIGH_L, SHIN_L, FOOT_L)):
        _add_leg(tailor, thigh, shin, foot)
    _add_bag(tailor)
    return tailor.body()


def _facing(part: Part, width: float) -> NDArray[np.bool_]:
    """Rows of a part within `width` radians of straight ahead."""
    return np.abs(np.angle(np.exp(1j * (part.angle - np.pi / 2)))) < width


def _darken(part: Part, rows: NDArray[np.bool_], factor: float) -> None:
    part.colours[rows] *= np.float32(factor)


def _add_head(tailor: Tailor) -> None:
    """The head's bone starts at the neck's base, 1.47 m above ground; the chin is 0.06 m above that."""
    look = tailor.look
    tailor.lathe(HEAD, [(-0.04, 0.062, 0.062), (0.09, 0.052, 0.056)], _scaled(look.skin, 0.86), (0, 0.005, 0))
    face = tailor.lathe(
        HEAD,
        [
            (0.045, 0.0, 0.0),
            (0.05, 0.03, 0.04),
            (0.075, 0.048, 0.072),
            (0.11, 0.062, 0.088),
            (0.16, 0.074, 0.095),
            (0.21, 0.074, 0.094),
            (0.245, 0.062, 0.08),
            (0.27, 0.035, 0.045),
            (0.28, 0.0, 0.0),
        ],
        look.skin,
        (0, 0.018, 0),
        folds=0.02,
    )
    forward = np.angle(np.exp(1j * (face.angle - np.pi / 2)))
    z = face.along
    _darken(face, (np.abs(np.abs(forward) - 0.42) < 0.2) & (np.abs(z - 0.168) < 0.012), 0.4)  # eyes
    _darken(face, (np.abs(np.abs(forward) - 0.42) < 0.26) & (np.abs(z - 0.188) < 0.006), 0.55)  # brows
    _darken(face, (np.abs(forward) < 0.3) & (np.abs(z - 0.098) < 0.007), 0.62)  # mouth
    _darken(face, (np.abs(forward) < 0.18) & (np.abs(z - 0.122) < 0.006), 0.75)  # below the nose
    tailor.lathe(HEAD, [(0.118, 0.0, 0.0), (0.122, 0.016, 0.018), (0.165, 0.008, 0.008)], look.skin, (0, 0.113, 0))
    for side in (-1, 1):
        ear = [(0.12, 0.0, 0.0), (0.125, 0.01, 0.02), (0.165, 0.012, 0.026), (0.172, 0.0, 0.0)]
        tailor.lathe(HEAD, ear, _scaled(look.skin, 0.9), (0.075 * side, 0.0, 0))
    if look.beard:
        rows = (z < 0.112) & (np.abs(forward) < 1.3) & ~((np.abs(forward) < 0.3) & (np.abs(z - 0.098) < 0.007))
        face.colours[rows] = look.hair_colour
    _add_hair(tailor)
    _add_hat(tailor)


def _add_hair(tailor: Tailor) -> None:
    look = tailor.look
    if look.hair == "bald":
        return
    cap = tailor.lathe(
        HEAD,
        [
            (0.1, 0.05, 0.066),
            (0.13, 0.074, 0.098),
            (0.2, 0.084, 0.106),
            (0.25, 0.072, 0.092),
            (0.285, 0.038, 0.05),
            (0.294, 0.0, 0.0),
        ],
        look.hair_colour,
        (0, 0.008, 0.0),
        folds=0.22,
    )
    forward = np.abs(np.angle(np.exp(1j * (cap.angle - np.pi / 2))))
    _cut(tailor, (forward < 1.15) & (cap.along < 0.232) | (forward < 1.75) & (cap.along < 0.15))
    if look.hair == "long":
        fall = [(-0.13, 0.0, 0.0), (-0.12, 0.085, 0.03), (0.02, 0.095, 0.05), (0.13, 0.09, 0.06), (0.2, 0.06, 0.05)]
        tailor.lathe(HEAD, fall, look.hair_colour, (0, -0.055, 0), folds=0.2)
    elif look.hair == "bun":
        bun = [(-0.045, 0.0, 0.0), (-0.03, 0.035, 0.035), (0.0, 0.046, 0.046), (0.03, 0.035, 0.035), (0.045, 0.0, 0.0)]
        tailor.lathe(HEAD, bun, look.hair_colour, (0, -0.1, 0.235), folds=0.25)


def _add_hat(tailor: Tailor) -> None:
    look = tailor.look
    if look.hat == "none":
        return
    crown = [(0.2, 0.088, 0.108), (0.25, 0.082, 0.1), (0.295, 0.045, 0.056), (0.304, 0.0, 0.0)]
    if look.hat == "beanie":
        crown = [(0.175, 0.089, 0.11), *crown]
    tailor.lathe(HEAD, crown, look.hat_colour, (0, 0.01, 0), folds=0.1)
    if look.hat == "cap":
        peak = [(0.205, 0.0, 0.0), (0.206, 0.07, 0.075), (0.214, 0.07, 0.075), (0.215, 0.0, 0.0)]
        tailor.lathe(HEAD, peak, _scaled(look.hat_colour, 0.85), (0, 0.115, 0))
    elif look.hat == "brim":
        brim = [(0.205, 0.0, 0.0), (0.206, 0.15, 0.165), (0.214, 0.15, 0.165), (0.215, 0.0, 0.0)]
        tailor.lathe(HEAD, brim, _scaled(look.hat_colour, 0.9), (0, 0.01, 0))


def _add_torso(tailor: Tailor) -> None:
    """The torso's bone starts at the hips; its parts use heights above ground, moved down by `HIP_M`."""
    look = tailor.look
    wide, deep = look.build, 0.35 + 0.65 * look.build
    loose = {"tshirt": 1.0, "shirt": 1.03, "jacket": 1.12, "coat": 1.12}[look.upper]
    belly = 1 + max(0.0, look.build - 1) * 0.8
    hem = 0.86 if look.upper in ("tshirt", "shirt", "jacket") else 0.62
    shape = [
        (hem - 0.005, 0.0, 0.0),
        (hem, 0.172, 0.128 if hem > 0.8 else 0.15),
        (0.95, 0.168, 0.125),
        (1.1, 0.152 * belly, 0.115 * belly),
        (1.25, 0.166, 0.122),
        (1.35, 0.172, 0.118),
        (1.41, 0.155, 0.1),
        (1.45, 0.115, 0.082),
        (1.485, 0.072, 0.066),
        (1.5, 0.06, 0.06),
    ]
    profile = [(z - HIP_M, rx * wide * loose, ry * deep * loose) for z, rx, ry in shape]
    torso = tailor.lathe(TORSO, profile, look.upper_colour, folds=0.09)
    _colour_upper(tailor, torso, HIP_M)
    z = torso.along + HIP_M
    if look.upper in ("jacket", "coat"):
        opening = _facing(torso, 0.2) & (z > 1.0) | _facing(torso, 0.34) & (z > 1.33)
        torso.colours[opening] = np.asarray(look.shirt_colour, np.float32)
        _darken(torso, _facing(torso, 0.26) & ~_facing(torso, 0.2) & (z > 1.0) & (z < 1.33), 0.6)
        _darken(torso, _facing(torso, 0.03) & (z <= 1.0), 0.55)
    elif look.upper == "shirt":
        _darken(torso, _facing(torso, 0.035), 0.72)
        skin_v = _facing(torso, 0.22) & (z > 1.43)
        torso.colours[skin_v] = np.asarray(look.skin, np.float32)
    else:
        torso.colours[z > 1.478] = np.asarray(look.skin, np.float32) * np.float32(0.85)
    _darken(torso, z < hem + 0.02, 0.72)
    pelvis_colour = look.lower_colour
    hips = [(0.76, 0.0, 0.0), (0.77, 0.09, 0.07), (0.84, 0.162, 0.116), (0.93, 0.165, 0.12), (1.02, 0.145, 0.105)]
    tailor.lathe(TORSO, [(z - HIP_M, rx * wide, ry * deep) for z, rx, ry in hips], pelvis_colour, folds=0.08)
    if look.lower == "skirt":
        cone = [(0.5, 0.0, 0.0), (0.505, 0.23, 0.25), (0.75, 0.205, 0.185), (0.93, 0.17, 0.128), (1.04, 0.15, 0.11)]
        skirt = tailor.lathe(TORSO, [(z - HIP_M, rx * wide, ry * deep) for z, rx, ry in cone], look.lower_colour)
        pleats = 1 + 0.13 * np.sin(skirt.angle * 14) * np.clip((0.95 - HIP_M - skirt.along) / 0.3, 0, 1)
        skirt.colours *= pleats[:, None].astype(np.float32)


def _add_arm(tailor: Tailor, side: int, arm: int, forearm: int) -> None:
    look = tailor.look
    wide = (0.4 + 0.6 * look.build) * (1.2 if look.upper in ("jacket", "coat") else 1.0)
    top = [
        (-UPPER_ARM_M - 0.02, 0.0, 0.0),
        (-UPPER_ARM_M, 0.04, 0.042),
        (-0.15, 0.047, 0.05),
        (-0.03, 0.053, 0.06),
        (0.012, 0.045, 0.052),
        (0.036, 0.026, 0.032),
        (0.042, 0.0, 0.0),
    ]
    sleeve = tailor.lathe(arm, [(z, rx * wide, ry * wide) for z, rx, ry in top], look.upper_colour, folds=0.1)
    _colour_upper(tailor, sleeve, SHOULDER_M)
    low = [
        (-FOREARM_M - 0.02, 0.0, 0.0),
        (-FOREARM_M, 0.03, 0.032),
        (-0.1, 0.04, 0.041),
        (0.0, 0.042, 0.043),
        (0.03, 0.0, 0.0),
    ]
    cuff = tailor.lathe(forearm, [(z, rx * wide, ry * wide) for z, rx, ry in low], look.upper_colour, folds=0.1)
    if look.long_sleeves:
        _colour_upper(tailor, cuff, SHOULDER_M - UPPER_ARM_M)
        _darken(cuff, cuff.along < -FOREARM_M + 0.015, 0.7)
    else:
        bare = sleeve.along < -0.16
        sleeve.colours[bare] = np.asarray(look.skin, np.float32)
        _darken(sleeve, (sleeve.along >= -0.16) & (sleeve.along < -0.145), 0.7)
        cuff.colours[:] = np.asarray(look.skin, np.float32)
    hand = [(-0.17, 0.0, 0.0), (-0.155, 0.018, 0.028), (-0.09, 0.024, 0.045), (-0.03, 0.022, 0.034), (0.0, 0.0, 0.0)]
    tailor.lathe(forearm, hand, look.skin, (-0.004 * side, 0.008, -FOREARM_M + 0.01))


def _add_leg(tailor: Tailor, thigh: int, shin: int, foot: int) -> None:
    look = tailor.look
    wide = 0.35 + 0.65 * look.build
    bare = look.lower in ("shorts", "skirt")
    cloth: Colour = look.skin if look.lower == "skirt" else look.lower_colour
    top = [
        (-THIGH_M - 0.06, 0.0, 0.0),
        (-THIGH_M - 0.02, 0.052, 0.054),
        (-THIGH_M + 0.03, 0.059, 0.062),
        (-0.25, 0.074, 0.08),
        (-0.08, 0.088, 0.098),
        (0.02, 0.086, 0.1),
        (0.08, 0.0, 0.0),
    ]
    if look.lower == "shorts":
        top[3] = (-0.25, 0.084, 0.09)
    upper = tailor.lathe(thigh, [(z, rx * wide, ry * wide) for z, rx, ry in top], cloth, folds=0.09)
    if look.lower == "shorts":
        knee = upper.along < -0.33
        upper.colours[knee] = np.asarray(look.skin, np.float32)
        _darken(upper, (upper.along >= -0.33) & (upper.along < -0.31), 0.7)
    loose = 1.0 if bare else {"trousers": 1.22, "jeans": 1.08}[look.lower]
    calf = [
        (-SHIN_M - 0.01, 0.0, 0.0),
        (-SHIN_M + 0.0, 0.04 * (1.0 if bare else 1.2), 0.044 * (1.0 if bare else 1.3)),
        (-0.3, 0.043, 0.047),
        (-0.13, 0.054, 0.062),
        (-0.02, 0.05, 0.056),
        (0.03, 0.03, 0.035),
        (0.045, 0.0, 0.0),
    ]
    lower_colour = look.skin if bare else look.lower_colour
    lower = tailor.lathe(
        shin,
        [(z, rx * wide * loose, ry * wide * loose) for z, rx, ry in calf],
        lower_colour,
        folds=0.04 if bare else 0.1,
    )
    if look.lower == "jeans":
        _darken(lower, np.abs(lower.along + SHIN_M - 0.02) < 0.02, 0.8)
    shoe = [(-0.14, 0.0, 0.0), (-0.125, 0.03, 0.02), (-0.05, 0.046, 0.03), (0.04, 0.042, 0.038), (0.1, 0.038, 0.042)]
    shoe.append((0.125, 0.0, 0.0))
    tailor.lathe(foot, shoe, look.shoe_colour, (0, 0.055, -0.045), tilt=np.pi / 2, folds=0.05)
    tailor.lathe(foot, [(-0.06, 0.0, 0.0), (-0.05, 0.04, 0.045), (0.03, 0.038, 0.042)], look.shoe_colour, (0, 0, 0))


def _add_bag(tailor: Tailor) -> None:
    look = tailor.look
    deep = 0.35 + 0.65 * look.build
    if look.bag == "backpack":
        pack = [(0.98, 0.0, 0.0), (0.99, 0.13, 0.07), (1.1, 0.15, 0.095), (1.3, 0.145, 0.085), (1.42, 0.11, 0.06)]
        pack.append((1.45, 0.0, 0.0))
        shape = [(z - HIP_M, rx, ry) for z, rx, ry in pack]
        sack = tailor.lathe(TORSO, shape, look.bag_colour, (0, -0.165 * deep, 0), folds=0.1)
        _darken(sack, np.abs(sack.along + HIP_M - 1.28) < 0.008, 0.5)
        _darken(sack, np.abs(sack.along + HIP_M - 1.12) < 0.006, 0.6)
        _paint_straps(tailor, lambda x, z: (np.abs(np.abs(x) - 0.105) < 0.022) & (z > 1.12))
    elif look.bag == "shoulder":
        bag = [(0.78, 0.0, 0.0), (0.79, 0.055, 0.14), (0.98, 0.05, 0.13), (1.0, 0.0, 0.0)]
        shape = [(z - HIP_M, rx, ry) for z, rx, ry in bag]
        offset = (0.235 * look.bag_side * (0.4 + 0.6 * look.build), -0.02, 0)
        tailor.lathe(TORSO, shape, look.bag_colour, offset, folds=0.08)
        side = look.bag_side
        _paint_straps(tailor, lambda x, z: np.abs((z - 1.2) + side * x * 1.55) < 0.036)
    elif look.bag == "hand":
        bag = [(-0.36, 0.0, 0.0), (-0.355, 0.045, 0.15), (-0.12, 0.035, 0.12), (-0.1, 0.0, 0.0)]
        bone = FOREARM_R if look.bag_side > 0 else FOREARM_L
        tailor.lathe(bone, bag, look.bag_colour, (0, 0.01, -FOREARM_M - 0.04), folds=0.08)


def _paint_straps(tailor: Tailor, where: Callable[[Float, Float], NDArray[np.bool_]]) -> None:
    """Colour the rows of the torso's first surface for which where(x, height) holds like the bag, a little darker."""
    torso = next(part for bone, part in tailor.parts if bone == TORSO)
    rows = where(torso.points[:, 0], torso.points[:, 2] + HIP_M)
    torso.colours[rows] = np.asarray(tailor.look.bag_colour, np.float32) * np.float32(0.75)


def _colour_upper(tailor: Tailor, part: Part, base_m: float) -> None:
    """Print the pattern of the upper garment on a part whose bone starts `base_m` above the ground."""
    look = tailor.look
    z = part.along + base_m
    across = part.angle
    if look.pattern == "stripes":
        rows = np.mod(z, 0.11) < 0.055
    elif look.pattern == "pinstripes":
        rows = np.mod(across * 8, 2 * np.pi) < 2.2
    elif look.pattern == "checks":
        rows = (np.mod(z, 0.13) < 0.065) ^ (np.mod(across * 6, 2 * np.pi) < np.pi)
    elif look.pattern == "two_tone":
        rows = z > 1.22
    elif look.pattern == "dots":
        rows = np.hypot(np.mod(z, 0.07) / 0.07 - 0.5, np.mod(across * 7, 2 * np.pi) / (2 * np.pi) - 0.5) < 0.28
    elif look.pattern == "print":
        v = np.clip((z - 1.12) / 0.24 * 32, 0, 31).astype(int)
        u = np.clip((np.angle(np.exp(1j * (across - np.pi / 2))) + 0.75) / 1.5 * 32, 0, 31).astype(int)
        rows = tailor.print_mask[v, u] & _facing(part, 0.72) & (z > 1.13) & (z < 1.35)
    else:
        return
    shade = part.colours[rows].sum(axis=1, keepdims=True) / max(sum(look.upper_colour), 1.0)
    part.colours[rows] = np.asarray(look.second_colour, np.float32) * shade


def _scaled(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _cut(tailor: Tailor, rows: NDArray[np.bool_]) -> None:
    """Remove rows from the part that was added last."""
    bone, part = tailor.parts.pop()
    keep = ~rows
    kept = Part(part.points[keep], part.normals[keep], part.along[keep], part.angle[keep], part.colours[keep])
    tailor.parts.append((bone, kept))
