"""Prompts of the embedded family at every complexity that its grammar has, each with the scene it asks for."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from rise_shapes.grammar import caption, loosen
from rise_shapes.scene import COLOURS, FILLABLE, SHAPES, Scene, Thing, draw_scene

SEED: Final = 60_616
MOST: Final = 8 * len(COLOURS) * len(SHAPES)


@dataclass(frozen=True)
class Asked:
    """A prompt, the scene it asks for, and the level of detail (the index in LEVELS) it was drawn at."""

    text: str
    scene: Scene
    level: int


def prompts(count: int) -> list[Asked]:
    """``count`` different prompts, the same for the same count; level after level in turn, as many of each.

    Those with two things are combinations that no training scene has; a single thing has none to be held out. Raises
    ValueError above `MOST`: there are no more bare things.
    """
    if count > MOST:
        raise ValueError(f"wanted at most {MOST} prompts, got {count}")
    rng = random.Random(SEED)
    found: dict[str, Asked] = {}
    while len(found) < count:
        level = len(found) % len(LEVELS)
        scene = LEVELS[level](draw_scene(rng, held_out=True).scene, rng)
        found.setdefault(caption(scene), Asked(caption(scene), scene, level))
    return list(found.values())


def _bare(thing: Thing) -> Thing:
    return Thing(thing.colour, thing.shape, None)


def _alone(scene: Scene) -> Scene:
    return Scene(scene.things[:1], (), scene.ground)


def _rich(scene: Scene, rng: random.Random) -> Scene:
    """Both things filled, where their shapes have room, and a pattern under them."""
    fills = ("striped", "dotted")
    things = tuple(
        replace(thing, size="large", fill=rng.choice(fills)) if thing.shape in FILLABLE else thing
        for thing in scene.things
    )
    ground = None if scene.ground is None else replace(scene.ground, pattern=rng.choice(("striped", "checked")))
    return Scene(things, scene.relations, ground)


LEVELS: Final[tuple[Callable[[Scene, random.Random], Scene], ...]] = (
    lambda scene, rng: Scene((_bare(scene.things[0]),)),
    lambda scene, rng: replace(_alone(scene), ground=None),
    lambda scene, rng: _alone(scene),
    lambda scene, rng: Scene(tuple(map(_bare, scene.things)), scene.relations),
    lambda scene, rng: replace(scene, ground=None),
    loosen,
    lambda scene, rng: scene,
    _rich,
)
"""From a complete scene of two things to what a prompt of the level says of it, the least first: a colour and a shape;
its size and fill; the ground; two bare things; two with size and fill; what a user might say; everything; everything,
with fills and patterns throughout."""
