"""The skeleton: where every bone of a person is in each pose of a walk and while standing.

Bones swing in the sagittal plane. Body axes are x to the person's right, y forward, z up, in metres, the ground at
z = 0 below the pelvis. Lengths are those of a person of 1.75 m; the whole is scaled afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.simulate.looks import Look

Float = NDArray[np.float32]

MODEL_HEIGHT_M = 1.75
HIP_M = 0.93
SHOULDER_M = 1.4
THIGH_M = 0.43
SHIN_M = 0.41
UPPER_ARM_M = 0.29
FOREARM_M = 0.25
GAIT_PHASES = 10
"""Poses in one cycle of two steps; pose number `GAIT_PHASES` and the next one are two ways of standing."""
STANDING_POSES = (GAIT_PHASES, GAIT_PHASES + 1)

TORSO, HEAD, ARM_R, ARM_L, FOREARM_R, FOREARM_L, THIGH_R, THIGH_L, SHIN_R, SHIN_L, FOOT_R, FOOT_L = range(12)
BONES = 12


@dataclass(frozen=True, slots=True)
class Pose:
    """Where each bone is: rotations (BONES, 3, 3) and origins (BONES, 3) in body axes of the model, float32."""

    rotations: Float
    origins: Float


def rotation(angle: float) -> NDArray[np.float64]:
    """Rotation about x; a positive angle swings a hanging limb forward."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def pose_of(look: Look, number: int) -> Pose:
    """Return pose `number`: 0 to GAIT_PHASES - 1 through one cycle of a walk, then the two ways of standing."""
    standing = number >= GAIT_PHASES
    turn = 2 * np.pi * number / GAIT_PHASES
    lean = 0.0 if standing else -0.05
    rotations = np.tile(np.eye(3), (BONES, 1, 1))
    origins = np.zeros((BONES, 3))
    rotations[TORSO] = rotation(lean)
    rotations[HEAD] = rotation(-0.1 if number == GAIT_PHASES + 1 else lean * 0.5)
    origins[TORSO] = (0, 0, HIP_M)
    origins[HEAD] = origins[TORSO] + rotations[TORSO] @ np.array([0, 0, 1.465 - HIP_M])
    lowest = np.inf
    for side, arm, forearm, thigh, shin, foot in (
        (1, ARM_R, FOREARM_R, THIGH_R, SHIN_R, FOOT_R),
        (-1, ARM_L, FOREARM_L, THIGH_L, SHIN_L, FOOT_L),
    ):
        swing = 0.0 if standing else float(np.sin(turn + (0 if side > 0 else np.pi)))
        lift = 0.0 if standing else float(np.cos(turn + (0 if side > 0 else np.pi)))
        hip = look.stride_swing * swing + 0.03
        knee = 0.04 if standing else 0.12 + 0.95 * max(0.0, lift) ** 1.5
        shoulder = 0.03 if standing else -0.75 * look.stride_swing * swing
        elbow = 0.15 if standing else 0.3 + 0.25 * max(0.0, shoulder)
        if look.bag == "hand" and side == look.bag_side:
            shoulder, elbow = 0.3 * shoulder, 0.08
        if number == GAIT_PHASES + 1 and side > 0:
            shoulder, elbow = 0.35, 1.75  # looking at a telephone
        abduct = (0.09 + 0.06 * (look.build - 0.8)) * side
        cos, sin = np.cos(abduct), np.sin(abduct)
        spread = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]])
        rotations[arm] = spread @ rotation(shoulder + lean)
        rotations[forearm] = spread @ rotation(shoulder + lean + elbow)
        socket = np.array([0.168 * (0.45 + 0.55 * look.build) * side, 0, SHOULDER_M - HIP_M])
        origins[arm] = origins[TORSO] + rotations[TORSO] @ socket
        origins[forearm] = origins[arm] + rotations[arm] @ np.array([0, 0, -UPPER_ARM_M])
        rotations[thigh] = rotation(hip)
        rotations[shin] = rotation(hip - knee)
        rotations[foot] = rotation(float(np.clip(0.6 * (hip - knee), -0.7, 0.3)))
        origins[thigh] = (0.088 * (0.5 + 0.5 * look.build) * side, 0, HIP_M - 0.02)
        origins[shin] = origins[thigh] + rotations[thigh] @ np.array([0, 0, -THIGH_M])
        origins[foot] = origins[shin] + rotations[shin] @ np.array([0, 0, -SHIN_M])
        toe = origins[foot] + rotations[foot] @ np.array([0, 0.16, -0.075])
        heel = origins[foot] + rotations[foot] @ np.array([0, -0.06, -0.075])
        lowest = min(lowest, float(toe[2]), float(heel[2]))
    origins[:, 2] -= lowest
    return Pose(rotations.astype(np.float32), origins.astype(np.float32))
