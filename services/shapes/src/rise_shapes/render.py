"""Scenes to pixels: the exact picture of a placed scene, anti-aliased by signed distance."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from rise_shapes.scene import CANVAS, RADIUS, Ground, Placed

Plane = NDArray[np.float32]
Distances = NDArray[np.floating[Any]]

PALETTE: Final[dict[str, tuple[int, int, int]]] = {
    "red": (225, 45, 45),
    "yellow": (242, 208, 38),
    "green": (45, 165, 60),
    "cyan": (35, 185, 200),
    "blue": (45, 80, 220),
    "purple": (170, 60, 200),
}
TINT: Final = 0.6
"""How far the second colour of a fill lies from the first, on the way to white."""

GROUNDS: Final[dict[str, tuple[tuple[int, int, int], tuple[int, int, int]]]] = {
    "pale": ((238, 235, 228), (204, 201, 196)),
    "dark": ((44, 46, 54), (76, 78, 86)),
}
GROUND_CELL: Final = 8
FILL_PERIOD: Final = 8


@cache
def _grid() -> tuple[Plane, Plane]:
    ys, xs = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32) + 0.5
    return xs, ys


def coverage(shape: str, size: str, centre: tuple[float, float]) -> Plane:
    """Share of each pixel that the shape covers: (64, 64) in 0..1."""
    xs, ys = _grid()
    radius = RADIUS[size]
    distance = _distance(shape, xs - centre[0], ys - centre[1], radius)
    covered: Plane = np.clip(0.5 - distance, 0.0, 1.0).astype(np.float32)
    return covered


def _distance(shape: str, x: Plane, y: Plane, r: float) -> Distances:
    """Signed distance to the outline, pixels, negative inside."""
    ax, ay = np.abs(x), np.abs(y)
    if shape == "circle":
        return np.hypot(x, y) - r
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.74 * r) - 0.26 * r
    if shape == "square":
        return np.maximum(ax, ay) - 0.86 * r
    if shape == "diamond":
        return (ax + ay - 1.12 * r) / np.float32(np.sqrt(2))
    if shape == "cross":
        arm = np.float32(0.34 * r)
        return np.minimum(np.maximum(ax - arm, ay - r), np.maximum(ax - r, ay - arm))
    if shape == "triangle":
        sides: Plane = (ax - 0.55 * (y + r)) / np.float32(np.hypot(1.0, 0.55))
        outside: Distances = np.maximum(sides, y - 0.82 * r)
        return outside
    raise KeyError(shape)


@cache
def fill_mask(fill: str) -> Plane:
    """Where the tint of a fill goes: (64, 64) in {0, 1}, fixed to the canvas."""
    xs, ys = _grid()
    half = FILL_PERIOD / 2
    if fill == "striped":
        return ((ys % FILL_PERIOD) >= half).astype(np.float32)
    if fill == "dotted":
        dots = np.hypot(xs % FILL_PERIOD - half, ys % FILL_PERIOD - half)
        mask: Plane = np.clip(2.9 - dots, 0.0, 1.0).astype(np.float32)
        return mask
    return np.zeros((CANVAS, CANVAS), np.float32)


@cache
def ground_mask(pattern: str) -> Plane:
    """Where the second tone of a ground goes: (64, 64) in {0, 1}."""
    xs, ys = _grid()
    column: NDArray[np.int_] = (xs // GROUND_CELL).astype(int)
    row: NDArray[np.int_] = (ys // GROUND_CELL).astype(int)
    if pattern == "striped":
        return (column % 2).astype(np.float32)
    if pattern == "checked":
        return ((column + row) % 2).astype(np.float32)
    return np.zeros((CANVAS, CANVAS), np.float32)


def _two_tone(first: tuple[int, int, int], second: NDArray[np.float32], mask: Plane) -> NDArray[np.float32]:
    base = np.asarray(first, np.float32)
    return base + mask[..., None] * (second - base)


def render(placed: Placed) -> NDArray[np.uint8]:
    """The picture, (64, 64, 3) RGB."""
    ground = placed.scene.ground or Ground()
    first, second = GROUNDS[ground.tone]
    picture = _two_tone(first, np.asarray(second, np.float32), ground_mask(ground.pattern))
    for thing, centre in zip(placed.scene.things, placed.centres, strict=True):
        colour = PALETTE[thing.colour]
        tint = np.asarray(colour, np.float32) * (1 - TINT) + 255 * TINT
        paint = _two_tone(colour, tint, fill_mask(thing.fill))
        alpha = coverage(thing.shape, thing.size or "large", centre)[..., None]
        picture = picture + alpha * (paint - picture)
    return np.rint(picture).astype(np.uint8)
