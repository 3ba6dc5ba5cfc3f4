"""The edge's capacity: each side at its cheapest point of the quality that is asked for."""

from __future__ import annotations

import pytest

from benchmarks import capacity
from benchmarks._front import Point
from rise_contracts.configuration import parse_arm


def point(arm: str, kind: str, accuracy: float, edge_s: float) -> Point:
    return Point(arm, kind, accuracy, 1.0, {}, 2 * edge_s, edge_s, 400)


POINTS = [
    point("large:24", "large", 0.95, 0.4),
    point("large:8", "large", 0.945, 0.16),
    point("large:4", "large", 0.90, 0.08),
    point("large:4@0.9+finisher:6", "relay", 0.94, 0.08),
    point("large:2@0.9+finisher:6", "relay", 0.80, 0.04),
]


def test_the_cheapest_point_of_either_side_keeps_the_quality() -> None:
    assert capacity.cheapest(POINTS, "large", 0.94).arm == "large:8"
    assert capacity.cheapest(POINTS, "relay", 0.94).arm == "large:4@0.9+finisher:6"
    with pytest.raises(ValueError, match="empty"):
        capacity.cheapest(POINTS, "relay", 0.99)


def test_capacity_is_told_against_the_best_and_against_the_default_steps() -> None:
    default, best, _, relay, _ = POINTS
    rows = {row.name: row for row in capacity.capacity_rows(relay, best, default)}
    assert rows["images_per_edge_second"].ratio == pytest.approx(2.0)
    assert rows["images_per_edge_second_default"].ratio == pytest.approx(5.0)
    assert (rows["images_per_edge_second"].met, rows["images_per_edge_second_default"].met) == (True, True)
    assert rows["capacity_quality"].ratio == pytest.approx(-0.005)


def test_a_relay_that_saves_too_little_does_not_meet_its_goals() -> None:
    default, best, *_ = POINTS
    costly = point("large:7@0.9+finisher:6", "relay", 0.95, 0.14)
    rows = {row.name: row for row in capacity.capacity_rows(costly, best, default)}
    assert (rows["images_per_edge_second"].met, rows["images_per_edge_second_default"].met) == (False, False)


def test_every_arm_that_is_tried_can_be_read() -> None:
    arms = list(capacity.arms())
    assert len({arm for _, arm in arms}) == len(arms)
    assert all((len(parse_arm(arm)) == 2) == (kind == "relay") for kind, arm in arms)
