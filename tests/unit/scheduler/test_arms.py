from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.configuration import parse_arm
from rise_contracts.errors import InvalidInput
from rise_scheduler.arm import base_member
from rise_scheduler.arms import arms_for, canonical_arms
from tests.unit.scheduler.builders import family

PLAIN: dict[str, Any] = {"relays": [], "handoffs": [0.5, 2.0, 8.0]}


def names(arms: object) -> list[str]:
    return [arm.name for arm in arms]  # type: ignore[attr-defined]


def test_relays_first_then_edge_then_device_at_several_step_counts() -> None:
    arms = canonical_arms(family())
    assert names(arms) == [
        "large:6@1.2+finisher:6",
        "large:3@1.5+finisher:6~q8",
        "large:20",
        "large:10",
        "large:5",
        "small:20",
        "small:10",
    ]
    assert [arm.kind for arm in arms] == ["relay"] * 2 + ["edge-only"] * 3 + ["device-only"] * 2
    assert all(arm.learns_as == arm.name for arm in arms)


def test_a_member_of_low_noise_levels_never_runs_alone() -> None:
    assert not [arm for arm in canonical_arms(family()) if arm.parts[0].member == "finisher"]


def test_a_relay_keeps_its_own_wire_dtype_and_tiers() -> None:
    cheap = canonical_arms(family())[1]
    assert cheap.wire_dtype == "q8"
    assert [part.tier for part in cheap.parts] == ["edge", "device"]


def test_a_relay_may_state_other_tiers_than_its_members() -> None:
    stages = [{"member": "large", "steps": 6, "untilSigma": 1.2}, {"member": "finisher", "steps": 6, "tier": "edge"}]
    arm = canonical_arms(family(relays=[{"name": "r", "stages": stages}]))[0]
    assert [part.tier for part in arm.parts] == ["edge", "edge"]


def test_without_relays_the_handoffs_give_some() -> None:
    arms = [arm for arm in canonical_arms(family(**PLAIN)) if arm.kind == "relay"]
    assert {arm.parts[0].until_sigma for arm in arms} == set(PLAIN["handoffs"])
    assert canonical_arms(family(handoffs=PLAIN["handoffs"])) == canonical_arms(family())


def test_two_relays_that_differ_on_the_wire_alone_are_two_arms() -> None:
    stages = [{"member": "large", "steps": 6, "untilSigma": 1.2}, {"member": "finisher", "steps": 6}]
    relays = [{"name": "a", "stages": stages}, {"name": "b", "stages": stages, "wireDtype": "q8"}]
    usual, eight = canonical_arms(family(relays=relays))[:2]
    assert (usual.name, eight.name) == ("large:6@1.2+finisher:6", "large:6@1.2+finisher:6~q8")
    assert (usual.wire_dtype, eight.wire_dtype) == (None, "q8")


def test_the_dtype_that_a_job_states_is_every_relay_s_and_twins_are_one() -> None:
    stages = [{"member": "large", "steps": 6, "untilSigma": 1.2}, {"member": "finisher", "steps": 6}]
    relays = [{"name": "a", "stages": stages}, {"name": "b", "stages": stages, "wireDtype": "q8"}]
    twins = family(relays=relays)
    assert names(arms_for(twins, wire_dtype="q8"))[:2] == ["large:6@1.2+finisher:6~q8", "large:20"]
    assert names(arms_for(twins, wire_dtype="fp16"))[:2] == ["large:6@1.2+finisher:6", "large:20"]
    own = arms_for(twins, wire_dtype="fp32")[0]
    assert (own.name, own.learns_as) == ("large:6@1.2+finisher:6~fp32", "large:6@1.2+finisher:6")


def test_without_relays_and_handoffs_there_are_no_relays() -> None:
    assert {arm.kind for arm in canonical_arms(family(relays=[]))} == {"edge-only", "device-only"}


def test_the_base_is_the_edge_member_with_most_parameters() -> None:
    members = [
        {"name": "a", "parameters": 5, "tier": "edge"},
        {"name": "b", "parameters": 9, "tier": "edge"},
        {"name": "c", "parameters": 99, "tier": "device"},
    ]
    assert base_member(family(members=members, relays=[])).name == "b"
    assert base_member(family(members=members[2:], relays=[])).name == "c"
    unsized = [{"name": "x"}, {"name": "y"}]
    assert base_member(family(members=unsized, relays=[])).name == "x"


def test_an_arm_is_listed_once() -> None:
    members = [{"name": "large", "parameters": 9, "defaultSteps": 1, "tier": "edge"}]
    assert names(canonical_arms(family(members=members, relays=[]))) == ["large:1"]


def test_stated_steps_scale_relays_and_replace_the_ladders() -> None:
    arms = arms_for(family(), 10)
    assert names(arms) == ["large:3@1.2+finisher:3", "large:2@1.5+finisher:3~q8", "large:10", "small:10"]
    assert [arm.learns_as for arm in arms] == [
        "large:6@1.2+finisher:6",
        "large:3@1.5+finisher:6~q8",
        "large:10",
        "small:10",
    ]


def test_the_default_steps_change_no_relay() -> None:
    assert names(arms_for(family(), 20))[:2] == names(canonical_arms(family()))[:2]


@given(st.integers(1, 200))
def test_scaled_arms_are_valid_and_their_records_exist(steps: int) -> None:
    known = set(names(canonical_arms(family())))
    arms = arms_for(family(), steps)
    assert len(set(names(arms))) == len(arms)
    for arm in arms:
        assert all(1 <= stage.steps <= 200 for stage in parse_arm(arm.name))
        assert arm.learns_as in known


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{"member": "finisher", "steps": 6}], "put large before it"),
        (
            [{"member": "large", "steps": 6, "untilSigma": 3.0}, {"member": "finisher", "steps": 6}],
            "hand over at 1.5 or below",
        ),
    ],
)
def test_a_relay_its_members_cannot_run_is_refused_with_its_place(stages: list[object], message: str) -> None:
    broken = family(relays=[{"name": "broken", "stages": stages}])
    with pytest.raises(InvalidInput, match=message) as caught:
        canonical_arms(broken)
    assert caught.value.field.startswith("spec.relays[0].stages[0]")
