from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.model import WireDtype
from rise_scheduler.arm import Arm, ArmPart, arm_of
from rise_scheduler.arms import arms_for, canonical_arms
from rise_scheduler.posterior import ArmSums, Posterior, Settled
from rise_scheduler.quality import expected_quality, prior_quality
from tests.unit.scheduler.builders import family, nothing_learned

WIRES: tuple[WireDtype | None, ...] = (None, "q8")


def arm(name: str) -> Arm:
    return next(arm for arm in canonical_arms(family()) if arm.name == name)


def prior(name: str) -> float:
    return prior_quality(arm(name), family())


def test_more_steps_and_larger_members_promise_more() -> None:
    assert prior("large:20") > prior("large:10") > prior("large:5")
    assert prior("small:20") > prior("small:10")
    assert prior("large:20") > prior("small:20")


def test_a_relay_lies_between_its_members_and_a_longer_head_promises_more() -> None:
    assert prior("small:20") < prior("large:3@1.5+finisher:6~q8") < prior("large:6@1.2+finisher:6") < prior("large:20")


def test_a_later_cut_of_the_plain_relay_promises_more() -> None:
    plain = family(relays=[], handoffs=[0.5, 2.0, 8.0])
    cuts = [(2, 8.0), (7, 2.0), (11, 0.5)]
    arms = [arm_of([ArmPart("large", "edge", n, at), ArmPart("small", "device", 20 - n)]) for n, at in cuts]
    found = [prior_quality(arm, plain) for arm in arms]
    assert found == sorted(found)


def test_where_early_levels_decide_more_a_large_head_is_worth_more() -> None:
    large_first = arm_of([ArmPart("large", "edge", 7, 2.0), ArmPart("small", "device", 13)])
    small_first = arm_of([ArmPart("small", "device", 7, 2.0), ArmPart("large", "edge", 13)])
    rising = [prior_quality(large_first, family(), early) for early in (2.0, 1.0, 0.5)]
    falling = [prior_quality(small_first, family(), early) for early in (2.0, 1.0, 0.5)]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)


def test_eight_bits_on_the_wire_promise_a_little_less() -> None:
    parts = [ArmPart("large", "edge", 7, 2.0), ArmPart("small", "device", 13)]
    usual, eight = (prior_quality(arm_of(parts, wire_dtype=wire), family()) for wire in WIRES)
    assert 0.99 * usual < eight < usual


@given(st.integers(1, 200))
def test_always_within_0_and_1(steps: int) -> None:
    assert all(0.0 <= prior_quality(arm, family()) <= 1.0 for arm in arms_for(family(), steps))


def test_sizes_that_nobody_stated() -> None:
    members = [{"name": "a", "tier": "edge"}, {"name": "b", "tier": "device"}, {"name": "c", "tier": "edge"}]
    unsized = family(members=members, relays=[])
    found = {arm.name: prior_quality(arm, unsized) for arm in canonical_arms(unsized)}
    assert found["a:20"] == found["c:20"] > found["b:20"] > 0.0


def test_measurements_take_over_from_the_prior() -> None:
    asked = arm("small:20")
    posterior: Posterior = nothing_learned()
    assert expected_quality(asked, family(), posterior) == prior("small:20")
    for index in range(99):
        sums = ArmSums.of(np.ones(6), 0.0, 0.1)
        posterior = posterior.credited(f"d{index}", Settled(0.1, True), "small:20", sums)
    expected = (99 * 0.1 + prior("small:20")) / 100
    assert expected_quality(asked, family(), posterior) == pytest.approx(expected)
