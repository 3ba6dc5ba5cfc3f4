"""From a question to a logged decision, or to an error that says what is missing. Pure: time and identity are
arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from rise_contracts.audits import is_audit
from rise_contracts.decisions import Candidate as CandidateView
from rise_contracts.decisions import DecisionRecord
from rise_contracts.errors import Busy
from rise_contracts.messages import Configure, Decision, Predictions
from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import base_member
from rise_scheduler.arms import arms_for, canonical_arms
from rise_scheduler.composed.observe import basis_of
from rise_scheduler.composed.price import Pacer, edge_wait
from rise_scheduler.context import context_of, vector
from rise_scheduler.fixed_jobs import fixed_arm
from rise_scheduler.fleet import Fleet
from rise_scheduler.learned import Learned
from rise_scheduler.linucb import ArmScore
from rise_scheduler.place import Place
from rise_scheduler.placing import Candidate, Masked, configuration_of, place_arms
from rise_scheduler.policies import Choice, Policy, Question
from rise_scheduler.prompt import prompt_features

_VIEWS = TypeAdapter(tuple[CandidateView, ...])

JOB_POLICY = "job"
"""The policy named in decisions on jobs that fixed their own stages."""


class Answer(NamedTuple):
    """A decision, and the price of the edge's time after it."""

    record: DecisionRecord
    pacer: Pacer


def decide(
    question: Configure,
    family: ModelFamily,
    fleet: Fleet,
    learned: Learned,
    policy: Policy,
    *,
    decision_id: str,
    at: float,
    pacer: Pacer = Pacer(),  # noqa: B008 (frozen)
    default_reference_s: float = 5.0,
) -> Answer:
    """Choose a configuration. Raises InvalidInput for a job that can never run, Busy where workers are missing now.

    ``default_reference_s`` is the latency of one image that counts as 1 until the base member's own is known.
    """
    spec = question.request.spec
    fixed = spec.relay.mode == "Fixed"
    arms = (fixed_arm(spec, family),) if fixed else arms_for(family, spec.steps, spec.relay.wire_dtype)
    measured = _reference(family, fleet)
    reference_s = spec.images * (learned.posterior.reference_s or measured or default_reference_s)
    longest_load_s = reference_s if policy.weighs_seconds else 0.0
    candidates, masked = place_arms(arms, question, family, fleet, learned.posterior, longest_load_s=longest_load_s)
    if not candidates:
        raise Busy(_nobody(family.metadata.name, masked))
    prompt = prompt_features(spec.prompt)
    context = context_of(prompt, spec.preference, fleet)
    pacer = pacer.after(edge_wait(candidates, reference_s))
    choice = Choice(0)
    if not fixed:
        asked = Question(
            candidates=candidates,
            x=vector(context),
            prompt=prompt,
            learned=learned,
            family=family,
            preference=spec.preference,
            draw=f"{question.request.seed}/{question.request.job_id}/{question.attempt}",
            reference_s=reference_s,
            deadline_s=spec.active_deadline_seconds,
            price=pacer.price,
            busy=pacer.busy,
        )
        choice = policy.choose(asked)
    chosen = candidates[choice.index]
    scores: Sequence[ArmScore | None] = list(choice.scores) or [None] * len(candidates)
    decision = Decision(
        id=decision_id,
        job_id=question.request.job_id,
        arm=chosen.arm.name,
        configuration=configuration_of(chosen, question, family),
        policy=JOB_POLICY if fixed else policy.name,
        context=context,
        propensity=choice.propensity,
        predictions=Predictions.model_validate(_told(chosen, scores[choice.index])),
    )
    known = {arm.name for arm in canonical_arms(family)}
    record = DecisionRecord(
        decision=decision,
        family=family.metadata.name,
        attempt=question.attempt,
        images=spec.images,
        preference=spec.preference,
        reference_s=measured,
        expected_quality=chosen.quality,
        # An audit is the base member's run in an idle hour that is chosen for it: no sample of that arm's reward.
        learns=chosen.arm.name if chosen.arm.name in known and not is_audit(spec) else "",
        candidates=_views(candidates, scores, masked),
        basis=basis_of(chosen, family, prompt, learned.composed, reference_s),
        at=at,
        waited_s=max(at - question.request.accepted_at, 0.0),
    )
    return Answer(record, pacer)


def _reference(family: ModelFamily, fleet: Fleet) -> float | None:
    """Seconds of one image by the base member alone at its default steps, where a worker has measured it."""
    base = base_member(family)
    place = fleet.place(base.tier, family.metadata.name, base.name)
    if not isinstance(place, Place) or place.seconds_per_step is None:
        return None
    return base.default_steps * place.seconds_per_step


def _told(candidate: Candidate, score: ArmScore | None) -> dict[str, Any]:
    """What is predicted, by what the policy learned where it says so, else by the formula and the mean of what was
    measured."""
    if score is None or score.quality is None:
        return candidate.forecast.told(candidate.quality)
    return candidate.forecast.told(score.quality, score.latency_s)


def _views(
    candidates: Sequence[Candidate], scores: Sequence[ArmScore | None], masked: Sequence[Masked]
) -> tuple[CandidateView, ...]:
    """Every arm as it was seen. They are validated together, which takes a third of the time."""
    return _VIEWS.validate_python(
        [
            *(_view(item, score) for item, score in zip(candidates, scores, strict=True)),
            *({"arm": item.arm.name, "kind": item.arm.kind, "masked": item.reason} for item in masked),
        ]
    )


def _view(item: Candidate, score: ArmScore | None) -> dict[str, Any]:
    seen = {"arm": item.arm.name, "kind": item.arm.kind, "predictions": _told(item, score)}
    if score is None:
        return seen
    bonus = score.score - score.mean + (score.price or 0.0)
    ranked = {"mean": score.mean, "width": score.width, "bonus": bonus, "price": score.price, "score": score.score}
    return seen | ranked


def _nobody(family: str, masked: Sequence[Masked]) -> str:
    reasons = list(dict.fromkeys(item.reason for item in masked)) or [f"family {family} has no arms"]
    return f"no configuration for family {family}: {'; '.join(reasons)}; start workers, or wait until they are ready"
