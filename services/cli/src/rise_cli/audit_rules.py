"""Which jobs are audited, when, and by what job. Pure: time and what is known are arguments.

An audit costs as much of the edge as the relay was there to save, so it is a sample, and it waits for an idle edge.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby
from statistics import fmean, stdev
from typing import Final

from rise_cli import arms
from rise_contracts import messages, sampling
from rise_contracts.audits import ArmFidelity, Audit, is_audit, key_of
from rise_contracts.configuration import parse_arm
from rise_contracts.model import Tier
from rise_contracts.records import JobRecord
from rise_contracts.resources import Member, ModelFamily, RelayJobSpec

START_WITHIN_S: Final = 60.0
"""An audit that found no free worker by then is given up: the edge is not idle any more."""
FINISH_WITHIN_S: Final = 1800.0
FORGET_AFTER_S: Final = 3600.0
"""Whoever audits removes the job itself; this is for one that died just before."""


def is_sampled(job_id: str, share: float) -> bool:
    """Whether the job is in the sample of `share` (0 to 1) that is audited."""
    return sampling.is_sampled("audit", job_id, share)


def base_member(family: ModelFamily) -> Member | None:
    """The largest member of the edge (else of the devices) that takes all noise levels. None where no member does."""
    arm = arms.alone("edge", family) or arms.alone("device", family)
    return None if arm is None else family.member(parse_arm(arm)[0].member)


def base_arm(base: Member) -> str:
    """It alone, at its default steps."""
    return f"{base.name}:{base.default_steps}"


def exemption(record: JobRecord, done: messages.JobDone, base: Member | None) -> str:
    """Why the job is not audited; empty where it is."""
    if is_audit(record.request.spec):
        return "it is an audit itself"
    if record.decision is None or record.attempt != done.attempt:
        return "its result is of an attempt before the last decision"
    if base is None:
        return "no member of its family takes all noise levels"
    if {stage.member for stage in done.stages} == {base.name}:
        return "the base member made it alone"
    return ""


def spec_of(request: messages.JobRequest, base: Member) -> RelayJobSpec:
    """The same picture from the same noise by the base member alone, at its default steps, on its own tier.

    It has no second attempt, and is given up where it cannot start at once.
    """
    spec = request.spec
    kept = "family prompt negative_prompt width height images frames guidance_scale preference".split()
    return RelayJobSpec.model_validate(
        {
            **{name: getattr(spec, name) for name in kept},
            "seed": request.seed,
            "relay": {
                "mode": "Fixed",
                "stages": [{"member": base.name, "tier": base.tier, "steps": base.default_steps}],
            },
            "start_deadline_seconds": START_WITHIN_S,
            "active_deadline_seconds": FINISH_WITHIN_S,
            "backoff_limit": 0,
            "ttl_seconds_after_finished": FORGET_AFTER_S,
            "idempotency_key": key_of(request.job_id),
        }
    )


def is_idle(workers: Iterable[messages.Heartbeat], tier: Tier, family: str) -> bool:
    """Whether no worker of the tier has work or sees any waiting, and one of them is ready for the family.

    Workers that are there for one job alone are not counted: an audit cannot come in their way.
    """
    ours = [beat for beat in workers if beat.tier == tier and not beat.dedicated]
    ready = any(beat.ready and (not beat.families or family in beat.families) for beat in ours)
    return ready and not any(beat.busy_jobs or beat.queue_depth for beat in ours)


def idle_since(since: float | None, idle: bool, now: float) -> float | None:
    """Since when the edge is idle without a break; None while it is not."""
    if not idle:
        return None
    return now if since is None else since


def by_arm(audits: Collection[Audit]) -> tuple[ArmFidelity, ...]:
    """What the audits say of each arm, the nearest to the base member first in each family."""

    def held(audit: Audit) -> tuple[str, str, str]:
        return audit.family, audit.arm, audit.base_arm

    found = []
    for (family, arm, base), group in groupby(sorted(audits, key=held), held):
        told = [audit.fidelity for audit in group]
        deviation = stdev(told) if len(told) > 1 else None
        found.append(
            ArmFidelity(family=family, arm=arm, base_arm=base, n=len(told), mean=fmean(told), deviation=deviation)
        )
    return tuple(sorted(found, key=lambda each: (each.family, -each.mean)))
