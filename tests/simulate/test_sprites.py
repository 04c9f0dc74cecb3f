"""Looks and sprites."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from app.simulate.clothes import build_body
from app.simulate.figure import GAIT_PHASES, pose_of
from app.simulate.looks import look_of
from app.simulate.sprites import SpriteStore, render_sprite


def test_a_look_depends_on_seed_and_person_only() -> None:
    assert look_of(3, 5, False) == look_of(3, 5, False)
    assert look_of(3, 5, False) != look_of(4, 5, False)


def test_people_look_different() -> None:
    colours = np.array([look_of(0, person, False).upper_colour for person in range(1, 13)])
    apart = np.linalg.norm(colours[:, None] - colours[None], axis=2)[np.triu_indices(12, 1)]
    assert apart.min() > 15


def test_in_uniform_only_the_body_differs() -> None:
    worn = ("upper", "upper_colour", "second_colour", "lower", "lower_colour", "shoe_colour", "bag", "hat", "pattern")
    looks = [look_of(0, person, True) for person in range(1, 9)]
    for part in worn:
        assert len({getattr(look, part) for look in looks}) == 1
    assert len({look.height_m for look in looks}) == 8
    assert len({look.skin for look in looks}) > 3


def test_people_of_one_outfit_differ_in_body_and_bag_only() -> None:
    looks = [look_of(0, person, False, people_per_outfit=3) for person in range(1, 7)]
    assert looks[0] == look_of(0, 1, False)
    for own in (looks[:3], looks[3:]):
        clothes = {(look.hat, look.upper, look.upper_colour, look.lower_colour, look.shoe_colour) for look in own}
        assert len(clothes) == 1
        assert len({(look.height_m, look.skin, look.hair_colour) for look in own}) == 3
    assert looks[0].upper_colour != looks[3].upper_colour


def test_a_sprite_is_as_tall_as_the_person() -> None:
    look = dataclasses.replace(look_of(0, 1, False), height_m=1.8, hair="bald", hat="none")
    sprite = render_sprite(build_body(look, 0.012), pose_of(look, GAIT_PHASES), np.pi, 0.0, 60.0)
    rows = np.flatnonzero((sprite.image[:, :, 3] > 127).any(axis=1))
    assert rows[-1] + 1 - rows[0] == pytest.approx(1.8 * 60, rel=0.03)
    assert sprite.foot[1] == pytest.approx(rows[-1] + 1, abs=2)


def test_a_stride_is_wider_from_the_side_than_from_the_front() -> None:
    look = look_of(0, 2, False)
    body, pose = build_body(look, 0.015), pose_of(look, 3)
    front, side = (render_sprite(body, pose, yaw, 0.2, 60.0) for yaw in (np.pi, np.pi / 2))
    widths = [int((sprite.image[-30:, :, 3] > 127).any(axis=0).sum()) for sprite in (front, side)]
    assert widths[1] > 1.5 * widths[0]


def test_colours_never_exceed_their_alpha() -> None:
    look = look_of(1, 3, False)
    sprite = render_sprite(build_body(look, 0.015), pose_of(look, 4), 2.0, 0.25, 60.0)
    alpha = sprite.image[:, :, 3]
    assert np.all(sprite.image[:, :, :3].max(axis=2).astype(int) <= alpha.astype(int) + 1)
    assert 0.2 < np.mean(alpha > 127) < 0.8


def test_the_store_keeps_what_is_used_and_stays_within_its_memory() -> None:
    store = SpriteStore(max_bytes=120_000)
    looks = [look_of(0, person, False) for person in range(1, 5)]
    favourite = store.sprite(0, looks[0], 0, 0.0, 0.2, 40.0)
    for step in range(60):
        store.sprite(1 + step % 3, looks[1 + step % 3], step % 12, 0.7 * step, 0.2, 40.0)
        assert store.sprite(0, looks[0], 0, 0.01, 0.21, 40.0) is favourite
        assert store.bytes <= 120_000
    assert store.bytes == sum(sprite.image.nbytes for sprite in store._sprites.values())
