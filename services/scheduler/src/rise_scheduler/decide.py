"""From a question to a logged decision, or to an error that says what is missing. Pure: time and identity are
arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

from rise_contracts.decisions import Candidate as CandidateView
from rise_contracts.decisions import DecisionRecord
from rise_contracts.errors import Busy
from rise_contracts.messages import Configure, Decision
from rise_contracts.resources import ModelFamily
from rise_scheduler.arms import arms_for, base_member, canonical_arms
from rise_scheduler.context import context_of, vector
from rise_scheduler.fixed_jobs import fixed_arm
from rise_scheduler.fleet import Fleet, Place
from rise_scheduler.placing import Candidate, Masked, place_arms
from rise_scheduler.policies import Choice, Policy, Question
from rise_scheduler.posterior import Posterior

JOB_POLICY = "job"
"""The policy named in decisions on jobs that fixed their own stages."""


def decide(
    question: Configure,
    family: ModelFamily,
    fleet: Fleet,
    posterior: Posterior,
    policy: Policy,
    *,
    decision_id: str,
    at: float,
) -> DecisionRecord:
    """Choose a configuration. Raises InvalidInput for a job that can never run, Busy where workers are missing now."""
    spec = question.request.spec
    fixed = spec.relay.mode == "Fixed"
    arms = (fixed_arm(spec, family),) if fixed else arms_for(family, spec.steps)
    candidates, masked = place_arms(arms, question, family, fleet, posterior)
    if not candidates:
        raise Busy(_nobody(family.metadata.name, masked))
    context = context_of(spec, fleet)
    draw = f"{question.request.seed}/{question.request.job_id}/{question.attempt}"
    choice = Choice(0)
    if not fixed:
        choice = policy.choose(Question(candidates, vector(context), posterior, family, spec.preference, draw))
    chosen = candidates[choice.index]
    decision = Decision(
        id=decision_id,
        job_id=question.request.job_id,
        arm=chosen.arm.name,
        configuration=chosen.configuration,
        policy=JOB_POLICY if fixed else policy.name,
        context=context,
        propensity=choice.propensity,
        predictions=chosen.forecast.predictions(chosen.quality),
    )
    known = {arm.name for arm in canonical_arms(family)}
    return DecisionRecord(
        decision=decision,
        family=family.metadata.name,
        attempt=question.attempt,
        images=spec.images,
        preference=spec.preference,
        reference_s=_reference(family, fleet),
        expected_quality=chosen.quality,
        learns=chosen.arm.name if chosen.arm.name in known else "",
        candidates=_views(candidates, choice)
        + tuple(CandidateView(arm=item.arm.name, kind=item.arm.kind, masked=item.reason) for item in masked),
        at=at,
        waited_s=max(at - question.request.accepted_at, 0.0),
    )


def _reference(family: ModelFamily, fleet: Fleet) -> float | None:
    """Seconds of one image by the base member alone at its default steps, where a worker has measured it."""
    base = base_member(family)
    place = fleet.place(base.tier, family.metadata.name, base.name)
    if not isinstance(place, Place) or place.seconds_per_step is None:
        return None
    return base.default_steps * place.seconds_per_step


def _views(candidates: Sequence[Candidate], choice: Choice) -> tuple[CandidateView, ...]:
    views = []
    for index, item in enumerate(candidates):
        view = CandidateView(arm=item.arm.name, kind=item.arm.kind, predictions=item.forecast.predictions(item.quality))
        if choice.scores:
            score = choice.scores[index]
            view = view.model_copy(update={"mean": score.mean, "width": score.width, "score": score.score})
        views.append(view)
    return tuple(views)


def _nobody(family: str, masked: Sequence[Masked]) -> str:
    reasons = list(dict.fromkeys(item.reason for item in masked)) or [f"family {family} has no arms"]
    return f"no configuration for family {family}: {'; '.join(reasons)}; start workers, or wait until they are ready"
