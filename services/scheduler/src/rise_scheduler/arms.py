"""The arms of a family: what the scheduler may choose from. Pure.

- ``edge-only``: each edge member that takes all noise levels, alone, at its default steps, a half and a quarter of
  them;
- ``device-only``: each such device member alone, at its default steps and a half;
- ``relay``: the family's named relays, where it has any; else those that its handoffs give (``relays``).

A job that states ``steps: n`` means "as many as the base member alone would take": each stage of a relay is scaled by
n / (base member's default steps), at least to one step; edge-only and device-only then appear once, with n steps. One
that states the dtype on the wire gets it in every arm.
"""

from __future__ import annotations

import math
from dataclasses import replace

from rise_contracts.model import WireDtype
from rise_contracts.resources import Member, ModelFamily
from rise_scheduler.arm import Arm, ArmPart, arm_of, base_member, check_sigmas, each_once
from rise_scheduler.memo import per_family
from rise_scheduler.relays import relays_of_handoffs

MAX_STEPS = 200


@per_family
def canonical_arms(family: ModelFamily) -> tuple[Arm, ...]:
    """All arms of a family, relays first, each name once. Raises InvalidInput for a relay that a member cannot take
    part in.
    """
    whole = [member for member in family.spec.members if member.sigma_max is None]
    edge = [_alone(m, steps) for m in whole if m.tier == "edge" for steps in _ladder(m.default_steps, (1, 2, 4))]
    device = [_alone(m, steps) for m in whole if m.tier == "device" for steps in _ladder(m.default_steps, (1, 2))]
    named = [_named(family, index) for index in range(len(family.spec.relays))]
    return each_once([*(named or relays_of_handoffs(family, [*edge, *device])), *edge, *device])


def arms_for(family: ModelFamily, steps: int | None = None, wire_dtype: WireDtype | None = None) -> tuple[Arm, ...]:
    """The arms of a job: the canonical ones, or those scaled to the ``steps`` and with the ``wire_dtype`` that it
    states."""
    arms = canonical_arms(family)
    known = {arm.name for arm in arms}
    if wire_dtype is not None:
        arms = each_once(_wired(arm, wire_dtype, known) for arm in arms)
    if steps is not None:
        factor = steps / base_member(family).default_steps
        arms = each_once(_scaled(arm, steps, factor, known) for arm in arms)
    return arms


def _named(family: ModelFamily, index: int) -> Arm:
    relay = family.spec.relays[index]
    check_sigmas(family, relay.stages, f"spec.relays[{index}].stages")
    tiers = {member.name: member.tier for member in family.spec.members}
    parts = [
        ArmPart(stage.member, stage.tier or tiers[stage.member], stage.steps, stage.until_sigma)
        for stage in relay.stages
    ]
    return arm_of(parts, relay.solver, relay.wire_dtype)


def _alone(member: Member, steps: int) -> Arm:
    return arm_of([ArmPart(member.name, member.tier, steps)])


def _ladder(steps: int, divisors: tuple[int, ...]) -> list[int]:
    return [max(math.ceil(steps / divisor), 1) for divisor in divisors]


def _wired(arm: Arm, wire_dtype: WireDtype, known: set[str]) -> Arm:
    return _learning(arm_of(arm.parts, arm.solver, wire_dtype), arm, known)


def _scaled(arm: Arm, steps: int, factor: float, known: set[str]) -> Arm:
    if arm.kind == "relay":
        parts = tuple(replace(part, steps=min(max(round(part.steps * factor), 1), MAX_STEPS)) for part in arm.parts)
    else:
        parts = (replace(arm.parts[0], steps=steps),)
    return _learning(replace(arm, parts=parts), arm, known)


def _learning(changed: Arm, arm: Arm, known: set[str]) -> Arm:
    """It learns as itself where it is an arm of the family's own, else as the one that it was made of."""
    return replace(changed, learns_as=changed.name if changed.name in known else arm.learns_as)
