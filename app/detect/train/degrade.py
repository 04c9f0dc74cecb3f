"""What the lens, sensor and link of a cheap camera do to a picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


def change_light(rng: np.random.Generator, image: Image, strength: float = 1.0) -> Image:
    """Return `image` with other exposure, contrast, white balance and gamma; `strength` 1 is for a whole picture."""
    levels = np.arange(256, dtype=np.float32) / 255
    levels = levels ** np.exp(rng.normal(0, 0.2 * strength))
    contrast = np.exp(rng.normal(-0.03, 0.18 * strength))
    levels = (levels - 0.5) * contrast + 0.5 + rng.normal(0, 0.06 * strength)
    cast = np.exp(rng.normal(0, 0.05 * strength, 3))
    table = np.clip(levels[:, None] * cast * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table[:, None]), np.uint8)


def record(rng: np.random.Generator, image: Image) -> Image:
    """Return (H, W, 3) `image` as a camera might deliver it: light, blur, lost detail, noise, sometimes grey."""
    image = change_light(rng, image)
    height, width = image.shape[:2]
    if rng.random() < 0.35:
        scale = rng.uniform(0.45, 0.95)
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        image = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.35:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3)), np.uint8)
    if rng.random() < 0.15:  # sharpened, as many cameras do
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        image = np.asarray(cv2.addWeighted(image, 1.7, soft, -0.7, 0), np.uint8)
    if rng.random() < 0.06:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    if rng.random() < 0.6:
        sigma = rng.uniform(1, 9)
        noise = rng.standard_normal((height, width, 1), np.float32) * sigma
        noise = noise + rng.standard_normal((height, width, 3), np.float32) * (0.5 * sigma)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    return image


def watch(rng: np.random.Generator, image: Image) -> Image:
    """Return (H, W, 3) `image` as cheap surveillance cameras give it at their worst, mostly as it is: grey or infrared,
    night, shaken, coarse JPEG."""
    kind = rng.random()
    if kind < 0.12:
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if rng.random() < 0.4:  # infrared: light from beside the lens, near things glow
            grey = np.asarray(cv2.LUT(grey, _curve(rng.uniform(0.5, 0.9))), np.uint8)
        image = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    elif kind < 0.22:
        image = np.asarray(cv2.LUT(image, _curve(rng.uniform(1.3, 2.6))), np.uint8)
    if rng.random() < 0.08:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        along = np.linspace(-(length - 1) / 2, (length - 1) / 2, 4 * length)
        middle = (length - 1) / 2
        kernel[
            np.rint(middle + along * np.sin(angle)).astype(int), np.rint(middle + along * np.cos(angle)).astype(int)
        ] = 1
        image = np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
    if rng.random() < 0.25:
        _, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 60))])
        image = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return image


def _curve(gamma: float) -> NDArray[np.uint8]:
    return np.asarray(np.rint(255 * (np.arange(256) / 255) ** gamma), np.uint8)
