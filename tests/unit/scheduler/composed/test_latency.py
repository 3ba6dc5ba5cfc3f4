from __future__ import annotations

import math

import numpy as np
import pytest

from rise_scheduler.arms import canonical_arms
from rise_scheduler.composed.knowledge import Knowledge
from rise_scheduler.composed.latency import UNKNOWN_SD, latencies, slowness_of
from rise_scheduler.fleet import Fleet
from rise_scheduler.placing import Candidate, place_arms
from tests.unit.scheduler.builders import family, fleet, nothing_learned, question, worker
from tests.unit.scheduler.composed.seen import HOW, after, seen

RELAY = "large:6@1.2+finisher:6"


def candidates(among: Fleet | None = None) -> dict[str, Candidate]:
    placed, _ = place_arms(canonical_arms(family()), question(), family(), among or fleet(), nothing_learned())
    return {item.arm.name: item for item in placed}


def expected(arm: str, known: Knowledge, among: Fleet | None = None) -> tuple[float, float, float]:
    seconds, variance, edge = latencies([candidates(among)[arm]], known, HOW, 2.0)
    return float(seconds[0]), float(variance[0]), float(edge[0])


def test_before_anything_was_learned_the_formula_holds() -> None:
    for arm, item in candidates().items():
        seconds, variance, edge = expected(arm, Knowledge())
        assert seconds == pytest.approx(item.forecast.latency_s)
        assert edge == pytest.approx(item.forecast.edge_s)
        assert variance > 0


def test_a_slow_edge_slows_every_arm_that_uses_it_and_no_other() -> None:
    known = after(seen(str(i), clock=i, seconds=(1.2, 0.12), latency_s=1.33) for i in range(40))
    assert expected("large:20", known)[0] == pytest.approx(4.0, rel=0.1), "twice the 2 s of the formula"
    assert expected("small:20", known)[0] == pytest.approx(candidates()["small:20"].forecast.latency_s, rel=0.01)


def test_certainty_grows_with_evidence() -> None:
    few, many = (after(seen(str(i), clock=i) for i in range(count)) for count in (2, 40))
    assert expected(RELAY, many)[1] < expected(RELAY, few)[1] < expected(RELAY, Knowledge())[1]


def test_what_was_learned_long_ago_is_less_certain() -> None:
    fresh = after(seen(str(i), clock=i) for i in range(40))
    away = [seen(f"x{i}", clock=40 + i, keys=("other/large", "device/small"), pool="other") for i in range(400)]
    stale = after(away, known=fresh)
    one, two = (slowness_of(known, HOW).factors()["edge/large"][1] for known in (stale, fresh))
    assert one > two


def test_a_wait_is_stretched_by_what_was_learned_of_waits_at_that_pool() -> None:
    known = after(seen(str(i), clock=i, waits=(1.0, 0.0), wait_s=2.0, latency_s=2.73) for i in range(40))
    busy = fleet(worker(queue_depth=2), worker("device-0", "device"))
    formula = candidates(busy)["large:20"].forecast
    assert expected("large:20", known, busy)[0] > sum(formula.waits) * 1.6 + 2.0


def test_the_rest_belongs_to_the_kind_of_arm() -> None:
    known = after(seen(str(i), clock=i, latency_s=0.73 + 1.0) for i in range(60))
    relay = candidates()[RELAY].forecast.latency_s
    assert relay is not None
    assert expected(RELAY, known)[0] == pytest.approx(relay + 1.0, rel=0.05)
    assert expected("large:20", known)[0] == pytest.approx(2.0)


def test_an_unmeasured_stage_is_taken_for_the_reference_and_hardly_believed() -> None:
    unmeasured = fleet(worker(), worker("device-0", "device", seconds_per_step={}))
    seconds, variance, _ = expected("small:20", Knowledge(), unmeasured)
    assert seconds == pytest.approx(2.0)
    assert math.sqrt(variance) >= 2.0 * UNKNOWN_SD


def test_arms_that_fail_are_known_and_those_that_do_not_cost_nothing() -> None:
    failed = {"failed": True, "quality": None, "seconds": ()}
    known = after(seen(str(i), clock=i, **(failed if i % 2 else {})) for i in range(40))
    assert slowness_of(after([seen()]), HOW).failing == {}
    assert slowness_of(known, HOW).failing[RELAY] == pytest.approx(0.34, abs=0.05)


def test_all_arms_at_once_are_each_arm_by_itself() -> None:
    known = after(seen(str(i), clock=i, seconds=(1.2, 0.12), latency_s=1.5) for i in range(10))
    placed = candidates()
    together = np.stack(latencies(list(placed.values()), known, HOW, 2.0))
    alone = np.array([expected(arm, known) for arm in placed]).T
    np.testing.assert_allclose(together, alone)


def test_an_old_pace_and_a_load_make_the_seconds_less_certain() -> None:
    paces = {"seconds_per_step": {"finisher": 0.02, "small": 0.02}, "pace_age_s": {"small": 600.0}}
    old = fleet(worker(), worker("device-0", "device", **paces))
    seconds, variance, _ = expected("small:20", Knowledge(), old)
    fresh = expected("small:20", Knowledge())
    assert seconds == pytest.approx(fresh[0])
    assert variance == pytest.approx(fresh[1] + (0.4 * 0.4) ** 2, rel=0.01)


def test_loads_are_part_of_the_seconds_and_of_the_edges() -> None:
    cold = fleet(worker(members=(), load_seconds={"large": 3.0}), worker("device-0", "device", members=()))
    for arm, at_edge in (("large:20", 3.0), ("small:20", 0.0)):
        seconds, variance, edge = expected(arm, Knowledge(), cold)
        warm = expected(arm, Knowledge())
        assert edge == pytest.approx(warm[2] + at_edge)
        assert seconds > warm[0]
        assert variance > warm[1]
