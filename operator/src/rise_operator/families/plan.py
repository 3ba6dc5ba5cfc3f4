"""What to say of a ModelFamily. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rise_contracts.messages import Heartbeat
from rise_contracts.status import FamilyReason, MemberStatus, ModelFamilyStatus
from rise_operator.conditions import Finding, merged
from rise_operator.seen import SeenFamily, Trouble


@dataclass(frozen=True, slots=True)
class ObservedFamily:
    """`workers` are those of its pools; `failing` is the last word of one that could not load it."""

    seen: SeenFamily
    now: float
    published: bool = False
    bus: str = ""
    workers: Collection[Heartbeat] = ()
    failing: Trouble | None = None


def family_status(observed: ObservedFamily) -> ModelFamilyStatus:
    """Accepted: workers and scheduler know it as it is now. Ready: some worker holds a member of it."""
    seen = observed.seen
    members: tuple[MemberStatus, ...] = ()
    if seen.family is not None:
        members = tuple(
            MemberStatus(name=member.name, workers=sum(member.name in beat.members for beat in observed.workers))
            for member in seen.family.spec.members
        )
    return ModelFamilyStatus(
        observed_generation=seen.meta.generation,
        conditions=merged(
            [_accepted(observed), _ready(observed, members)],
            seen.status.conditions,
            generation=seen.meta.generation,
            now=observed.now,
        ),
        members=members,
    )


def _accepted(observed: ObservedFamily) -> Finding:
    if observed.seen.family is None:
        return Finding("Accepted", False, FamilyReason.INVALID_SPEC, observed.seen.problem)
    if not observed.published:
        return Finding("Accepted", False, FamilyReason.BUS_UNAVAILABLE, observed.bus or "it is being made known")
    return Finding("Accepted", True, FamilyReason.ACCEPTED)


def _ready(observed: ObservedFamily, members: tuple[MemberStatus, ...]) -> Finding:
    loaded = [f"{member.name} on {member.workers}" for member in members if member.workers]
    if loaded:
        return Finding("Ready", True, FamilyReason.LOADED, ", ".join(loaded))
    if observed.failing is not None:
        differ = observed.failing.reason == FamilyReason.LATENTS_DIFFER
        reason = FamilyReason.LATENTS_DIFFER if differ else FamilyReason.NOT_LOADED
        return Finding("Ready", False, reason, observed.failing.text)
    return Finding("Ready", False, FamilyReason.NOT_LOADED, "no worker holds a member of it; is there a StagePool?")
