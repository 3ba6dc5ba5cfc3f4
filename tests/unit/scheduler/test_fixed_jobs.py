from __future__ import annotations

from typing import Any

import pytest

from rise_contracts.errors import InvalidInput, UnknownName
from rise_scheduler.arm import Arm
from rise_scheduler.fixed_jobs import fixed_arm
from tests.unit.scheduler.builders import family, fixed, question

HEAD = {"member": "large", "steps": 6, "untilSigma": 1.2}
TAIL = {"member": "finisher", "steps": 6}


def arm_of(*stages: dict[str, Any], **spec: Any) -> Arm:
    return fixed_arm(question(relay=fixed(*stages), **spec).request.spec, family())


def test_stages_become_parts_in_the_members_tiers() -> None:
    arm = arm_of(HEAD, TAIL)
    assert arm.name == "large:6@1.2+finisher:6"
    assert arm.kind == "relay"
    assert [part.tier for part in arm.parts] == ["edge", "device"]
    assert all(part.movable for part in arm.parts)


def test_a_stated_tier_is_kept() -> None:
    arm = arm_of({"member": "small", "steps": 4, "tier": "edge"})
    assert arm.parts[0].tier == "edge"
    assert not arm.parts[0].movable
    assert arm_of({"member": "small", "steps": 4}).kind == "device-only"


def test_small_first_and_three_stages_are_allowed() -> None:
    small = {"member": "small", "steps": 3, "untilSigma": 4.0}
    assert arm_of(small, HEAD, TAIL).name == "small:3@4+large:6@1.2+finisher:6"


def test_an_unknown_member_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="did you mean 'finisher'") as caught:
        arm_of(HEAD, {"member": "finsher", "steps": 6})
    assert caught.value.field == "spec.relay.stages[1].member"


def test_a_handoff_above_what_the_next_member_takes() -> None:
    with pytest.raises(InvalidInput, match=r"at most 1.5.*got 2.0; hand over at 1.5 or below") as caught:
        arm_of(HEAD | {"untilSigma": 2.0}, TAIL)
    assert caught.value.field == "spec.relay.stages[0].untilSigma"


def test_a_handoff_at_the_limit_is_taken() -> None:
    assert arm_of(HEAD | {"untilSigma": 1.5}, TAIL).parts[0].until_sigma == 1.5


def test_a_member_of_low_noise_levels_cannot_start() -> None:
    with pytest.raises(
        InvalidInput, match=r"starts from pure noise.*put large before it with untilSigma 1.5"
    ) as caught:
        arm_of(TAIL)
    assert caught.value.field == "spec.relay.stages[0].member"


def test_steps_may_repeat_the_sum() -> None:
    assert arm_of(HEAD, TAIL, steps=12).name == "large:6@1.2+finisher:6"
