"""What the scheduler says of itself: the fleet as it sees it, and how it would choose now. Pure.

An arm of a contextual policy has no one mean: it depends on who asks. So a policy is shown by asking it for an
ordinary job, through the very decision that a job gets; nothing is logged and nothing learned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rise_contracts.decisions import Candidate, DecisionRecord
from rise_contracts.errors import RiseError
from rise_contracts.messages import Configure, JobRequest
from rise_contracts.model import Tier
from rise_contracts.reports import ArmReport, FamilyReport, FleetReport, SlownessReport, TierReport
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_scheduler.arms import canonical_arms
from rise_scheduler.composed.knowledge import Learning
from rise_scheduler.composed.latency import slowness_of
from rise_scheduler.composed.price import Pacer
from rise_scheduler.decide import decide
from rise_scheduler.fleet import Fleet
from rise_scheduler.learned import Learned
from rise_scheduler.policies import Policy
from rise_scheduler.posterior import Posterior

ORDINARY_PROMPT = "a small red circle above a large blue square, on a white ground"
ORDINARY_PREFERENCE = 0.5


def fleet_report(fleet: Fleet, at: float) -> FleetReport:
    """The workers by tier, in the order of their names."""
    return FleetReport(at=at, edge=_tier(fleet, "edge"), device=_tier(fleet, "device"))


def ordinary_job(family: str, at: float) -> Configure:
    """The job that a policy is shown with."""
    spec = RelayJobSpec(prompt=ORDINARY_PROMPT, family=family, preference=ORDINARY_PREFERENCE)
    return Configure(request=JobRequest(job_id="ordinary", spec=spec, seed=0, accepted_at=at), attempt=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a decision depends on besides the job and its family; see ``decide``."""

    policy: Policy
    fleet: Fleet
    at: float
    pacer: Pacer = field(default_factory=Pacer)
    learning: Learning = field(default_factory=Learning)
    default_reference_s: float = 5.0


def family_report(family: ModelFamily, learned: Learned, now: Standing) -> FamilyReport:
    """How the policy would choose among the arms of ``family`` now, and what was learned of each."""
    record, waits = _ordinary_decision(family, learned, now)
    decision = record.decision if record is not None else None
    candidates = _arms(family) if record is None else record.candidates
    charges = any(seen.price is not None for seen in candidates)
    return FamilyReport(
        family=family.metadata.name,
        outcomes=learned.posterior.outcomes,
        reference_s=learned.posterior.reference_s,
        context=decision.context if decision is not None else {},
        chosen=decision.arm if decision is not None else "",
        propensity=decision.propensity if decision is not None else None,
        waits=waits,
        price=now.pacer.price if charges else None,
        slowness=_slowness(learned, now.learning),
        arms=tuple(_arm(seen, learned.posterior) for seen in candidates),
    )


def _ordinary_decision(family: ModelFamily, learned: Learned, now: Standing) -> tuple[DecisionRecord | None, str]:
    """What an ordinary job would get, or why it would get nothing."""
    question = ordinary_job(family.metadata.name, now.at)
    try:
        answer = decide(
            question,
            family,
            now.fleet.open_to(question.request),
            learned,
            now.policy,
            decision_id="ordinary",
            at=now.at,
            pacer=now.pacer,
            default_reference_s=now.default_reference_s,
        )
    except RiseError as error:
        return None, str(error)
    return answer.record, ""


def _arms(family: ModelFamily) -> Sequence[Candidate]:
    try:
        return [Candidate(arm=arm.name, kind=arm.kind) for arm in canonical_arms(family)]
    except RiseError:
        return ()  # the family itself is wrong; `waits` says how


def _slowness(learned: Learned, how: Learning) -> tuple[SlownessReport, ...]:
    times = slowness_of(learned.composed, how).times
    return tuple(
        SlownessReport(what=what, factor=factor, deviation=math.sqrt(variance))
        for what, (factor, variance) in sorted(times.items())
    )


def _arm(seen: Candidate, posterior: Posterior) -> ArmReport:
    return ArmReport(seen=seen, outcomes=posterior.arm(seen.arm).n, quality=posterior.mean_quality(seen.arm))


def _tier(fleet: Fleet, tier: Tier) -> TierReport:
    workers = sorted((worker for worker in fleet.workers if worker.tier == tier), key=lambda worker: worker.worker)
    return TierReport(ready=len(fleet.ready(tier)), load=fleet.load(tier), workers=tuple(workers))
