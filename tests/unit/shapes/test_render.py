"""The renderer draws what the scene says, where it says."""

from __future__ import annotations

import numpy as np
import pytest

from rise_shapes.render import GROUNDS, PALETTE, coverage, fill_mask, ground_mask, render
from rise_shapes.scene import RADIUS, SHAPES, Ground, Placed, Scene, Thing


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", ["small", "large"])
def test_a_shape_lies_inside_its_reach_and_has_a_body(shape: str, size: str) -> None:
    plane = coverage(shape, size, (32.0, 32.0))
    rows, columns = np.nonzero(plane > 0.01)
    radius = 1.12 * RADIUS[size]  # a diamond's corners reach a little further, so that its area is as the others'
    assert plane.min() >= 0
    assert plane.max() == 1
    assert 32 - radius - 1 <= columns.min()
    assert columns.max() <= 32 + radius + 1
    assert 32 - radius - 1 <= rows.min()
    assert rows.max() <= 32 + radius + 1
    assert plane.sum() > RADIUS[size] ** 2


def test_moving_the_centre_by_pixels_moves_the_shape_exactly() -> None:
    still, moved = coverage("ring", "large", (30.0, 31.0)), coverage("ring", "large", (33.0, 29.0))
    assert np.array_equal(np.roll(still, (-2, 3), (0, 1)), moved)


def test_shapes_differ_from_one_another() -> None:
    planes = [coverage(shape, "large", (32.0, 32.0)) for shape in SHAPES]
    for i, a in enumerate(planes):
        for b in planes[i + 1 :]:
            assert np.minimum(a, b).sum() / np.maximum(a, b).sum() < 0.9


def test_an_unknown_shape_is_an_error() -> None:
    with pytest.raises(KeyError, match="zebra"):
        coverage("zebra", "large", (32.0, 32.0))


def test_the_middle_of_a_plain_object_has_its_exact_colour_and_the_corner_the_ground() -> None:
    shown = render(Placed(Scene((Thing("green", "square"),), (), Ground("pale")), ((32.0, 32.0),)))
    assert tuple(shown[32, 32]) == PALETTE["green"]
    assert tuple(shown[0, 0]) == GROUNDS["pale"][0]
    assert shown.shape == (64, 64, 3)


@pytest.mark.parametrize("fill", ["striped", "dotted"])
def test_a_fill_has_both_paints(fill: str) -> None:
    shown = render(Placed(Scene((Thing("blue", "square", "large", fill),), (), Ground("pale")), ((32.0, 32.0),)))
    inside = shown[24:40, 24:40].reshape(-1, 3)
    assert len(np.unique(inside, axis=0)) >= 2
    assert 0.1 < fill_mask(fill).mean() < 0.7


def test_patterns_share_the_ground_evenly() -> None:
    assert ground_mask("checked").mean() == 0.5
    assert ground_mask("striped").mean() == 0.5
    assert not ground_mask("plain").any()
