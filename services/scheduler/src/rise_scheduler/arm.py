"""An arm: a kind of configuration that the scheduler may choose. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from rise_contracts.configuration import ArmStage, format_arm
from rise_contracts.errors import InvalidInput
from rise_contracts.model import DEFAULT_WIRE, Solver, Tier, WireDtype
from rise_contracts.resources import Member, ModelFamily, StageSpec

Kind = Literal["edge-only", "device-only", "relay"]

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
    """A kind of configuration. ``learns_as`` is the arm whose record ranks it, the arm itself where it is empty.
    ``wire_dtype`` and ``solver`` None: what the job and the family say."""

    kind: Kind
    parts: tuple[ArmPart, ...]
    learns_as: str = ""
    solver: Solver | None = None
    wire_dtype: WireDtype | None = None
    name: str = field(init=False)
    """``member:steps@sigma`` of each part, joined by ``+``; ``~dtype`` after them where it has its own on the wire."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", arm_name(self.parts, self.wire_dtype))
        if not self.learns_as:
            object.__setattr__(self, "learns_as", self.name)


def arm_name(parts: Iterable[ArmPart], wire_dtype: WireDtype | None = None) -> str:
    """The name of an arm made of ``parts``."""
    return format_arm((ArmStage(part.member, part.steps, part.until_sigma) for part in parts), wire_dtype)


def arm_of(parts: Sequence[ArmPart], solver: Solver | None = None, wire_dtype: WireDtype | None = None) -> Arm:
    """The arm made of ``parts``, of the kind that they make. The usual dtype on the wire is none of its own, nor is any
    where nothing is handed over."""
    own = None if wire_dtype == DEFAULT_WIRE or len(parts) == 1 else wire_dtype
    return Arm(kind_of([part.tier for part in parts]), tuple(parts), "", solver, own)


def kind_of(tiers: Sequence[Tier]) -> Kind:
    """The kind of an arm whose stages run on these tiers."""
    if len(tiers) > 1:
        return "relay"
    return "edge-only" if tiers[0] == "edge" else "device-only"


def each_once(arms: Iterable[Arm]) -> tuple[Arm, ...]:
    """In their order, the first of each name."""
    found: dict[str, Arm] = {}
    for arm in arms:
        found.setdefault(arm.name, arm)
    return tuple(found.values())


def share_of(above: float | None, below: float | None) -> float:
    """The share, 0..1, of the range of log-noise that lies between two levels; None is the range's own end."""
    top = LOG_SIGMA_TOP if above is None else min(math.log(above), LOG_SIGMA_TOP)
    bottom = LOG_SIGMA_BOTTOM if below is None else math.log(below)
    return min(max((top - bottom) / (LOG_SIGMA_TOP - LOG_SIGMA_BOTTOM), 0.0), 1.0)


def base_member(family: ModelFamily) -> Member:
    """The member whose pictures are wanted: of the edge members that take all noise levels (else of all) the one with
    most parameters; the first listed where sizes are not stated."""
    members = family.spec.members
    whole = [member for member in members if member.sigma_max is None]
    pool = [member for member in whole if member.tier == "edge"] or whole or list(members)
    return max(pool, key=lambda member: member.parameters or 0)


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
