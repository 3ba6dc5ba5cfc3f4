"""The rows of the honest front: the best relay against the best large run for the same edge seconds."""

from __future__ import annotations

import pytest

import rise_shapes
from benchmarks import relay
from benchmarks._front import Costs, Point, held_out
from benchmarks._rows import Row
from rise_contracts.configuration import parse_arm
from rise_shapes.scene import is_held_out

COSTS = Costs(step={"large": 1.0, "small": 0.2, "finisher": 0.1}, encode=0.25, decode=0.5, handoff=0.05)


def point(arm: str, kind: str, accuracy: float) -> Point:
    stages = parse_arm(arm)
    return Point(arm, kind, accuracy, 1.0, {}, COSTS.latency(stages), COSTS.edge(stages), 200)


def rows(points: list[Point]) -> dict[str, Row]:
    return {row.name: row for row in relay.front_rows(points, "large:20")}


def gains(points: list[Point]) -> list[float | None]:
    """The gain at each budget."""
    found = rows(points)
    return [found[f"edge_front_{budget:02d}"].ratio for budget in relay.BUDGETS]


def met(points: list[Point]) -> list[bool | None]:
    """Whether each budget's goal is met, and that of their mean."""
    found = rows(points)
    return [found[name].met for name in (*(f"edge_front_{budget:02d}" for budget in relay.BUDGETS), "edge_front")]


def test_the_edge_pays_for_decoding_only_where_it_ends_the_picture() -> None:
    assert COSTS.edge(parse_arm("large:20")) == pytest.approx(20.75)
    assert COSTS.edge(parse_arm("large:4@1.3+finisher:6")) == pytest.approx(4.25)
    assert COSTS.edge(parse_arm("small:4@1.3+large:6")) == pytest.approx(6.75)
    assert COSTS.edge(parse_arm("small:8")) == 0
    assert COSTS.latency(parse_arm("large:4@1.3+finisher:6")) == pytest.approx(4 + 0.6 + 0.25 + 0.5 + 0.05)


def test_a_budget_compares_the_best_of_each_side_that_it_can_pay() -> None:
    points = [
        point("large:20", "large", 0.9),
        point("large:4", "large", 0.5),
        point("large:1", "large", 0.1),
        point("large:1@2.5+finisher:4", "relay", 0.3),
        point("large:4@1.3+finisher:4", "relay", 0.8),
        point("large:4@1.3+small:8", "training-free", 0.7),
    ]
    # 5 % of 20.75 s pays for nothing, and no picture is none that is right.
    assert gains(points) == pytest.approx([0, 0.2, 0.2, 0.3, 0.3])
    assert met(points) == [False, True, True, True, True, True]
    assert rows(points)["edge_front"].ours == pytest.approx(0.2)


def test_a_relay_that_buys_nothing_does_not_meet_its_goals() -> None:
    points = [
        point("large:20", "large", 0.9),
        point("large:1", "large", 0.8),
        point("large:1@2.5+small:4", "relay", 0.8),
    ]
    assert gains(points) == pytest.approx([0] * 5)
    assert met(points) == [False, False, False, False, True, False]


def test_order_compares_runs_with_as_many_large_steps_in_either_order() -> None:
    points = [
        point("large:20", "large", 0.9),
        point("large:4@1.3+small:8", "training-free", 0.6),
        point("large:8@1.3+small:8", "training-free", 0.8),
        point("small:4@1.3+large:4", "small-first", 0.1),
        point("small:8@1.3+large:8", "small-first", 0.3),
    ]
    assert rows(points)["order"].ratio == pytest.approx(0.5)


def test_the_benchmark_measures_both_orders_at_every_cost_that_it_compares() -> None:
    measured = [(kind, parse_arm(arm)) for kind, arm in relay.arms(rise_shapes.family())]
    for kind in ("training-free", "small-first"):
        steps = {stage.steps for found, arm in measured if found == kind for stage in arm if stage.member == "large"}
        assert steps.issuperset(relay.ORDER_STEPS)


def test_held_out_prompts_are_always_the_same_and_in_no_training_scene() -> None:
    prompts = held_out(30)
    assert [p.text for p in prompts[:10]] == [p.text for p in held_out(10)]
    assert all(is_held_out(p.scene) for p in prompts)
    assert len({p.seed for p in prompts}) == 30
