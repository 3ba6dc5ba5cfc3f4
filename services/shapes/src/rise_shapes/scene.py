"""What a picture of the embedded family shows: words, objects, relations, ground, and how scenes are drawn at random.

The grammar, the renderer, the judge and the training all speak in these terms; nothing here knows a pixel or a tensor.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass
from typing import Final

CANVAS: Final = 64
"""Side of a picture, pixels."""

COLOURS: Final = ("red", "yellow", "green", "cyan", "blue", "purple")
SHAPES: Final = ("circle", "square", "triangle", "diamond", "ring", "cross")
SIZES: Final = ("small", "large")
FILLS: Final = ("plain", "striped", "dotted")
RELATIONS: Final = ("above", "below", "left of", "right of")
TONES: Final = ("pale", "dark")
PATTERNS: Final = ("plain", "striped", "checked")

FILLABLE: Final = frozenset({"circle", "square", "triangle", "diamond"})
"""Shapes with room for a fill; a striped or dotted object is always a large one of these."""

RADIUS: Final = {"small": 9.0, "large": 13.0}
"""Half the extent of an object, pixels."""

LATTICE: Final = 8
"""Objects stand on multiples of so many pixels, which are the corners of the ground's cells."""

CLEAR: Final = 20.0
"""How much farther apart, in pixels, two things are along their relation's axis than across it, where scenes are drawn.

More than two cells of the lattice, so that a thing drawn a place off still stands where it was said to."""

ALONE_SHARE: Final = 0.1
"""Share of training scenes with a single object."""

HELD_OUT_SHARE: Final = 10
"""One in so many (colour, shape, relation, colour, shape) combinations is kept out of training."""


@dataclass(frozen=True)
class Thing:
    """One object. ``size`` is None where the prompt leaves it open."""

    colour: str
    shape: str
    size: str | None = "large"
    fill: str = "plain"


@dataclass(frozen=True)
class Ground:
    """The background."""

    tone: str = "pale"
    pattern: str = "plain"


@dataclass(frozen=True)
class Scene:
    """Things, the relations of the first thing to the others, and the ground (None: left open).

    ``relations[i]`` holds between ``things[0]`` and ``things[i + 1]``.
    """

    things: tuple[Thing, ...]
    relations: tuple[str, ...] = ()
    ground: Ground | None = None


@dataclass(frozen=True)
class Placed:
    """A complete scene together with the centre (x, y), in pixels, of each thing."""

    scene: Scene
    centres: tuple[tuple[float, float], ...]


def is_held_out(scene: Scene) -> bool:
    """Whether the scene contains a combination that no training scene contains."""
    first = scene.things[0]
    return any(
        zlib.crc32(f"{first.colour} {first.shape} {relation} {other.colour} {other.shape}".encode()) % HELD_OUT_SHARE
        == 0
        for relation, other in zip(scene.relations, scene.things[1:], strict=True)
    )


def draw_scene(rng: random.Random, *, held_out: bool = False) -> Placed:
    """Draw a complete scene with its layout; ``held_out`` draws the test distribution, else the training one."""
    while True:
        count = 2 if held_out or rng.random() > ALONE_SHARE else 1
        things = tuple(_draw_thing(rng, colour) for colour in rng.sample(COLOURS, count))
        relations = tuple(rng.choices(RELATIONS, k=count - 1))
        scene = Scene(things, relations, Ground(rng.choice(TONES), rng.choice(PATTERNS)))
        if is_held_out(scene) != held_out:
            continue
        centres = place(scene, rng)
        if centres is not None:
            return Placed(scene, centres)


def _draw_thing(rng: random.Random, colour: str) -> Thing:
    shape = rng.choice(SHAPES)
    size = rng.choice(SIZES)
    fill = rng.choice(FILLS) if size == "large" and shape in FILLABLE else "plain"
    return Thing(colour, shape, size, fill)


def place(scene: Scene, rng: random.Random, tries: int = 200) -> tuple[tuple[float, float], ...] | None:
    """Centres at which every relation holds clearly and nothing touches; None when no layout was found."""
    radii = [RADIUS[thing.size or "large"] for thing in scene.things]
    for _ in range(tries):
        centres = [_uniform_centre(rng, radius) for radius in radii]
        if all(
            holds(relation, centres[0], centre, gap=radii[0] + radius + 2, clear=CLEAR)
            for relation, centre, radius in zip(scene.relations, centres[1:], radii[1:], strict=True)
        ) and _apart(centres, radii):
            return tuple(centres)
    return None


def _uniform_centre(rng: random.Random, radius: float) -> tuple[float, float]:
    least = int(radius) + 2
    places = [place for place in range(0, CANVAS + 1, LATTICE) if least <= place <= CANVAS - least]
    return float(rng.choice(places)), float(rng.choice(places))


def _apart(centres: list[tuple[float, float]], radii: list[float]) -> bool:
    return all(
        max(abs(a[0] - b[0]), abs(a[1] - b[1])) >= ra + rb + 2
        for i, (a, ra) in enumerate(zip(centres, radii, strict=True))
        for b, rb in zip(centres[i + 1 :], radii[i + 1 :], strict=True)
    )


def holds(
    relation: str, a: tuple[float, float], b: tuple[float, float], *, gap: float = 0.0, clear: float = 0.0
) -> bool:
    """Whether ``a`` stands in ``relation`` to ``b``.

    Along the relation's axis ``a`` lies at least ``gap`` pixels off ``b``, and at least ``clear`` more than across it.
    """
    along, across = (b[1] - a[1], b[0] - a[0]) if relation in ("above", "below") else (b[0] - a[0], b[1] - a[1])
    if relation in ("below", "right of"):
        along = -along
    return along >= gap and along > abs(across) + clear
