"""How scenes are drawn: layouts keep their relations, and what is held out stays out."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from rise_shapes.scene import (
    CANVAS,
    FILLABLE,
    LATTICE,
    RADIUS,
    RELATIONS,
    Scene,
    Thing,
    draw_scene,
    holds,
    is_held_out,
)

OPPOSITE = {"above": "below", "below": "above", "left of": "right of", "right of": "left of"}


def test_the_same_seed_draws_the_same_scenes() -> None:
    first, second = ([draw_scene(random.Random(7)) for _ in range(5)] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("held_out", [False, True])
def test_training_and_held_out_scenes_never_share_a_combination(held_out: bool) -> None:
    rng = random.Random(8)
    assert all(is_held_out(draw_scene(rng, held_out=held_out).scene) == held_out for _ in range(300))


def test_about_one_combination_in_ten_is_held_out() -> None:
    rng = random.Random(9)
    pairs = [
        Scene((Thing("red", a), Thing("blue", b)), (relation,))
        for a in ("circle", "square", "ring", "cross", "triangle", "diamond")
        for b in ("circle", "square", "ring", "cross", "triangle", "diamond")
        for relation in RELATIONS
    ]
    share = sum(map(is_held_out, pairs)) / len(pairs)
    assert 0.03 < share < 0.2
    assert is_held_out(rng.choice([pair for pair in pairs if is_held_out(pair)]))


def test_a_scene_has_one_thing_or_two_and_a_held_out_one_two() -> None:
    rng = random.Random(12)
    counts = [len(draw_scene(rng).scene.things) for _ in range(300)]
    assert set(counts) == {1, 2}
    assert counts.count(1) < 0.2 * len(counts)
    assert {len(draw_scene(rng, held_out=True).scene.things) for _ in range(50)} == {2}


def test_layouts_keep_relations_distances_and_the_canvas() -> None:
    rng = random.Random(10)
    for _ in range(200):
        placed = draw_scene(rng)
        things, centres = placed.scene.things, placed.centres
        for relation, centre in zip(placed.scene.relations, centres[1:], strict=True):
            assert holds(relation, centres[0], centre)
        for (x, y), thing in zip(centres, things, strict=True):
            radius = RADIUS[thing.size or "large"]
            assert radius < x < CANVAS - radius
            assert radius < y < CANVAS - radius
            assert (x % LATTICE, y % LATTICE) == (0, 0)
        for (a, first), (b, second) in combinations(zip(centres, things, strict=True), 2):
            apart = RADIUS[first.size or "large"] + RADIUS[second.size or "large"]
            assert max(abs(a[0] - b[0]), abs(a[1] - b[1])) > apart


def test_colours_differ_and_fills_have_room() -> None:
    rng = random.Random(11)
    for _ in range(200):
        things = draw_scene(rng).scene.things
        assert len({thing.colour for thing in things}) == len(things)
        assert all(thing.size == "large" and thing.shape in FILLABLE for thing in things if thing.fill != "plain")


@pytest.mark.parametrize("relation", RELATIONS)
def test_a_relation_holds_one_way_only(relation: str) -> None:
    a, b = (20.0, 22.0), (40.0, 22.0)
    if relation in ("above", "below"):
        a, b = (a[1], a[0]), (b[1], b[0])
    one = holds(relation, a, b)
    assert one != holds(relation, b, a)
    assert one == holds(OPPOSITE[relation], b, a)


def test_a_diagonal_is_no_relation() -> None:
    assert not any(holds(relation, (10.0, 10.0), (30.0, 30.0)) for relation in RELATIONS)
