"""What the scheduler says of itself: the fleet as it sees it, and how it would choose now. Pure.

An arm of a contextual policy has no one mean: it depends on who asks. So a policy is shown by asking it for an
ordinary job, through the very decision that a job gets; nothing is logged and nothing learned.
"""

from __future__ import annotations

from collections.abc import Sequence

from rise_contracts.decisions import Candidate, DecisionRecord
from rise_contracts.errors import RiseError
from rise_contracts.messages import Configure, JobRequest
from rise_contracts.model import Tier
from rise_contracts.reports import ArmReport, FamilyReport, FleetReport, TierReport
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_scheduler.arms import canonical_arms
from rise_scheduler.decide import decide
from rise_scheduler.fleet import Fleet
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


def family_report(family: ModelFamily, fleet: Fleet, posterior: Posterior, policy: Policy, at: float) -> FamilyReport:
    """How ``policy`` would choose among the arms of ``family`` now, and what it has learned of each."""
    name = family.metadata.name
    question = ordinary_job(name, at)
    record, waits = None, ""
    try:
        record = decide(
            question, family, fleet.open_to(question.request), posterior, policy, decision_id="ordinary", at=at
        )
    except RiseError as error:
        waits = str(error)
    decision = record.decision if record is not None else None
    return FamilyReport(
        family=name,
        outcomes=posterior.outcomes,
        reference_s=posterior.reference_s,
        context=decision.context if decision is not None else {},
        chosen=decision.arm if decision is not None else "",
        propensity=decision.propensity if decision is not None else None,
        waits=waits,
        arms=tuple(_arm(seen, posterior) for seen in _candidates(family, record)),
    )


def _candidates(family: ModelFamily, record: DecisionRecord | None) -> Sequence[Candidate]:
    if record is not None:
        return record.candidates
    try:
        return [Candidate(arm=arm.name, kind=arm.kind) for arm in canonical_arms(family)]
    except RiseError:
        return ()  # the family itself is wrong; `waits` says how


def _arm(seen: Candidate, posterior: Posterior) -> ArmReport:
    return ArmReport(seen=seen, outcomes=posterior.arm(seen.arm).n, quality=posterior.mean_quality(seen.arm))


def _tier(fleet: Fleet, tier: Tier) -> TierReport:
    workers = sorted((worker for worker in fleet.workers if worker.tier == tier), key=lambda worker: worker.worker)
    return TierReport(ready=len(fleet.ready(tier)), load=fleet.load(tier), workers=tuple(workers))
