"""The arms of a family: what the scheduler may choose from. Pure.

- ``edge-only``: each edge member that takes all noise levels, alone, at its default steps, a half and a quarter of
  them;
- ``device-only``: each such device member alone, at its default steps and a half;
- ``relay``: the family's named relays. A family without any, but with handoffs, gets the plain cut of the base
  member's run at each handoff, finished by each device member that takes that noise level (the paper's training-free
  relay).

A job that states ``steps: n`` means "as many as the base member alone would take": each stage of a relay is scaled by
n / (base member's default steps), at least to one step; edge-only and device-only then appear once, with n steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from rise_contracts.configuration import ArmStage, format_arm
from rise_contracts.errors import InvalidInput
from rise_contracts.model import Solver, Tier, WireDtype
from rise_contracts.resources import Member, ModelFamily, StageSpec
from rise_scheduler.memo import per_family

Kind = Literal["edge-only", "device-only", "relay"]

MAX_STEPS = 200
LOG_SIGMA_TOP, LOG_SIGMA_BOTTOM = math.log(14.6), math.log(0.03)  # the scaled-linear schedule of SD and SDXL


@dataclass(frozen=True, slots=True)
class ArmPart:
    """One stage of an arm. ``tier`` is where it should run; with ``movable`` the other tier will do when that one has
    no worker.
    """

    member: str
    tier: Tier
    steps: int
    until_sigma: float | None = None
    movable: bool = False


@dataclass(frozen=True, slots=True)
class Arm:
    """A kind of configuration. ``learns_as`` is the arm whose record ranks it: itself, or what it was scaled from."""

    kind: Kind
    parts: tuple[ArmPart, ...]
    learns_as: str
    solver: Solver | None = None
    wire_dtype: WireDtype | None = None
    name: str = field(init=False)
    """``member:steps@sigma`` of each part, joined by ``+``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", arm_name(self.parts))


def arm_name(parts: Iterable[ArmPart]) -> str:
    """The name of an arm made of ``parts``."""
    return format_arm(ArmStage(part.member, part.steps, part.until_sigma) for part in parts)


def base_member(family: ModelFamily) -> Member:
    """The member whose pictures are wanted: of the edge members that take all noise levels (else of all) the one with
    most parameters; the first listed where sizes are not stated."""
    members = family.spec.members
    whole = [member for member in members if member.sigma_max is None]
    pool = [member for member in whole if member.tier == "edge"] or whole or list(members)
    return max(pool, key=lambda member: member.parameters or 0)


@per_family
def canonical_arms(family: ModelFamily) -> tuple[Arm, ...]:
    """All arms of a family, relays first, each name once. Raises InvalidInput for a relay that a member cannot take
    part in.
    """
    relays = [_named(family, index) for index in range(len(family.spec.relays))] or _plain_cuts(family)
    whole = [member for member in family.spec.members if member.sigma_max is None]
    edge = [_alone(m, steps) for m in whole if m.tier == "edge" for steps in _ladder(m.default_steps, (1, 2, 4))]
    device = [_alone(m, steps) for m in whole if m.tier == "device" for steps in _ladder(m.default_steps, (1, 2))]
    return _each_once([*relays, *edge, *device])


def arms_for(family: ModelFamily, steps: int | None) -> tuple[Arm, ...]:
    """The arms of a job: the canonical ones, or those scaled to the ``steps`` that it states."""
    arms = canonical_arms(family)
    if steps is None:
        return arms
    known = {arm.name for arm in arms}
    factor = steps / base_member(family).default_steps
    return _each_once([_scaled(arm, steps, factor, known) for arm in arms])


def check_sigmas(family: ModelFamily, stages: tuple[StageSpec, ...], field: str) -> None:
    """Raise InvalidInput where a stage would be given a latent noisier than its member takes, or none at all."""
    above: float | None = None
    for index, stage in enumerate(stages):
        member = family.member(stage.member)
        limit = member.sigma_max if member else None
        if limit is not None and above is None:
            raise InvalidInput(
                f"{field}[{index}].member",
                f"a member that starts from pure noise; {stage.member} takes sigma {limit:g} and below",
                stage.member,
                f"put {base_member(family).name} before it with untilSigma {limit:g} or less",
            )
        if limit is not None and above is not None and above > limit:
            raise InvalidInput(
                f"{field}[{index - 1}].untilSigma",
                f"at most {limit:g}, the highest noise level that {stage.member} takes",
                above,
                f"hand over at {limit:g} or below",
            )
        above = stage.until_sigma


def _named(family: ModelFamily, index: int) -> Arm:
    relay = family.spec.relays[index]
    check_sigmas(family, relay.stages, f"spec.relays[{index}].stages")
    tiers = {member.name: member.tier for member in family.spec.members}
    parts = tuple(
        ArmPart(stage.member, stage.tier or tiers[stage.member], stage.steps, stage.until_sigma)
        for stage in relay.stages
    )
    return Arm(kind_of([part.tier for part in parts]), parts, arm_name(parts), relay.solver, relay.wire_dtype)


def _plain_cuts(family: ModelFamily) -> list[Arm]:
    head = base_member(family)
    arms = []
    for sigma in sorted({sigma for sigma in family.spec.handoffs if sigma > 0}, reverse=True):
        share = (LOG_SIGMA_TOP - math.log(sigma)) / (LOG_SIGMA_TOP - LOG_SIGMA_BOTTOM)
        steps = min(max(math.ceil(share * head.default_steps), 1), max(head.default_steps - 1, 1))
        rest = max(head.default_steps - steps, 1)
        for tail in family.spec.members:
            if tail.tier == "device" and (tail.sigma_max is None or sigma <= tail.sigma_max):
                parts = (ArmPart(head.name, head.tier, steps, sigma), ArmPart(tail.name, "device", rest))
                arms.append(Arm("relay", parts, arm_name(parts)))
    return arms


def kind_of(tiers: Sequence[Tier]) -> Kind:
    """The kind of an arm whose stages run on these tiers."""
    if len(tiers) > 1:
        return "relay"
    return "edge-only" if tiers[0] == "edge" else "device-only"


def _alone(member: Member, steps: int) -> Arm:
    parts = (ArmPart(member.name, member.tier, steps),)
    return Arm(kind_of([member.tier]), parts, arm_name(parts))


def _ladder(steps: int, divisors: tuple[int, ...]) -> list[int]:
    return [max(math.ceil(steps / divisor), 1) for divisor in divisors]


def _scaled(arm: Arm, steps: int, factor: float, known: set[str]) -> Arm:
    if arm.kind == "relay":
        parts = tuple(replace(part, steps=min(max(round(part.steps * factor), 1), MAX_STEPS)) for part in arm.parts)
    else:
        parts = (replace(arm.parts[0], steps=steps),)
    name = arm_name(parts)
    return replace(arm, parts=parts, learns_as=name if name in known else arm.learns_as)


def _each_once(arms: Iterable[Arm]) -> tuple[Arm, ...]:
    found: dict[str, Arm] = {}
    for arm in arms:
        found.setdefault(arm.name, arm)
    return tuple(found.values())
