"""The relays that handoffs give."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rise_contracts.configuration import parse_arm, wire_of
from rise_contracts.resources import ModelFamily, StageSpec
from rise_scheduler.arm import Arm, check_sigmas
from rise_scheduler.arms import canonical_arms
from rise_scheduler.relays import LUCK, MOST, OF_A_CUT, cover, relays_of_handoffs, utilities
from tests.unit.scheduler.builders import family as builder

THREE = [
    {"name": "large", "parameters": 2_600_000_000, "defaultSteps": 30, "tier": "edge"},
    {"name": "medium", "parameters": 1_300_000_000, "defaultSteps": 30, "tier": "edge"},
    {"name": "small", "parameters": 300_000_000, "defaultSteps": 20, "tier": "device"},
]
TWO = [THREE[0], THREE[2]]
FINISHER = {"name": "finisher", "parameters": 300_000_000, "defaultSteps": 6, "sigmaMax": 1.0, "tier": "device"}


def family(members: list[dict[str, Any]], handoffs: list[float]) -> ModelFamily:
    return builder(members=members, relays=[], handoffs=handoffs)


def relays(members: list[dict[str, Any]], handoffs: list[float]) -> list[Arm]:
    return [arm for arm in canonical_arms(family(members, handoffs)) if arm.kind == "relay"]


def orders(arms: list[Arm]) -> set[tuple[str, ...]]:
    return {tuple(part.member for part in arm.parts) for arm in arms}


def test_both_orders_at_every_handoff_each_with_whole_and_with_fewer_steps() -> None:
    found = relays(TWO, [4.0, 1.5])
    cuts = [(tuple(part.member for part in arm.parts), arm.parts[0].until_sigma) for arm in found]
    assert set(cuts) == set(itertools.product([("large", "small"), ("small", "large")], [4.0, 1.5]))
    large_first = [arm for arm in found if arm.parts[0].member == "large" and arm.parts[0].until_sigma == 4.0]
    assert len({sum(part.steps for part in arm.parts) for arm in large_first}) == OF_A_CUT


def test_three_members_make_chains_of_three_from_large_to_small() -> None:
    threes = [order for order in orders(relays(THREE, [4.0, 1.5, 0.5])) if len(order) == 3]
    assert threes == [("large", "medium", "small")]


def test_eight_bits_on_the_wire_are_among_them() -> None:
    wires = {wire_of(arm.name) for arm in relays(TWO, [4.0, 1.5])}
    assert wires == {"", "q8"}


def test_a_finisher_takes_over_where_it_can_and_never_begins() -> None:
    found = [arm for arm in relays([*TWO, FINISHER], [4.0, 0.8]) if "finisher" in arm.name]
    assert {arm.parts[-1].member for arm in found} == {"finisher"}
    assert {arm.parts[-2].until_sigma for arm in found} == {0.8}
    assert max(arm.parts[-1].steps for arm in found) == 6


def test_without_handoffs_or_without_a_second_tier_there_is_none() -> None:
    assert relays(TWO, []) == []
    assert relays(THREE[:2], [4.0, 1.5]) == []


def test_cover_takes_what_adds_most_and_stops_where_nothing_does() -> None:
    utility = np.array([[1.0, 0.0, 0.0], [0.9, 0.9, 0.0], [0.0, 0.8, 0.0], [0.0, 0.0, -1.0]])
    chosen = cover(utility, np.zeros(3))
    assert [index for index, _ in chosen] == [1, 0]
    assert [gain for _, gain in chosen] == pytest.approx([1.8 / 3, 0.1 / 3])
    assert cover(utility, np.ones(3)) == []


@st.composite
def families(draw: st.DrawFn) -> ModelFamily:
    count = draw(st.integers(1, 5))
    members = [
        {
            "name": f"m{index}",
            "tier": draw(st.sampled_from(["edge", "device"])),
            "defaultSteps": draw(st.integers(1, 60)),
        }
        | draw(st.sampled_from([{}, {"parameters": 10**6}, {"parameters": 10**9}]))
        | draw(st.sampled_from([{}, {}, {"sigmaMax": 1.5}]))
        for index in range(count)
    ]
    handoffs = draw(st.lists(st.floats(0.05, 14.0), max_size=5, unique=True))
    return family(members, handoffs)


@settings(deadline=None, max_examples=60)
@given(families())
def test_whatever_the_family_relays_are_few_runnable_and_worth_trying(any_family: ModelFamily) -> None:
    others = [arm for arm in canonical_arms(any_family) if arm.kind != "relay"]
    found = relays_of_handoffs(any_family, others)
    assert len(found) <= MOST
    assert len({arm.name for arm in found}) == len(found)
    for arm in found:
        assert {part.tier for part in arm.parts} == {"edge", "device"}
        assert [(s.member, s.steps, s.until_sigma) for s in parse_arm(arm.name)] == [
            (part.member, part.steps, part.until_sigma) for part in arm.parts
        ]
        stages = tuple(StageSpec(member=p.member, steps=p.steps, until_sigma=p.until_sigma) for p in arm.parts)
        check_sigmas(any_family, stages, "relay")
    if found:
        lucky, best = utilities(found, any_family, LUCK), utilities(others, any_family).max(axis=0, initial=-np.inf)
        assert (lucky > best).any(axis=1).all()


def test_the_largest_family_that_is_allowed_is_no_trouble() -> None:
    """Thirty-two members and as many handoffs would give millions."""
    members = [
        {
            "name": f"m{index}",
            "parameters": 10**6 * (index + 1),
            "defaultSteps": 20,
            "tier": ("edge", "device")[index % 2],
        }
        for index in range(32)
    ]
    whole = family(members, [0.1 * (index + 1) for index in range(32)])
    assert len([arm for arm in canonical_arms(whole) if arm.kind == "relay"]) == MOST
