"""From an outcome to the new posterior. Pure, idempotent per decision, and indifferent to the order of outcomes.

An outcome without a quality (nobody judged the picture, or not yet) is learned from at once, with the quality
expected of its arm; when the measured quality arrives later, only the difference is added to b, and A stays: the
posterior is then what it would have been, had the quality been there from the start. The latency signal so never
waits for a judge.
"""

from __future__ import annotations

import math
from enum import StrEnum

from rise_contracts.decisions import DecisionRecord, Settlement
from rise_contracts.errors import Busy, InvalidInput
from rise_contracts.messages import ACT_QUALITY, Outcome, UserAct
from rise_scheduler.context import vector
from rise_scheduler.posterior import ArmSums, Posterior, Settled
from rise_scheduler.reward import failed_reward, reward


class Verdict(StrEnum):
    """What an outcome did to the posterior."""

    LEARNED = "learned"
    CORRECTED = "corrected"
    REPLAYED = "replayed: nothing new"
    NOT_AN_ARM = "not learned from: the configuration is no arm of the family"
    REFUSED = "refused: it does not fit its decision, or holds a number out of range"


def settle(
    posterior: Posterior, record: DecisionRecord, outcome: Outcome, *, default_reference_s: float
) -> tuple[Posterior, Verdict]:
    """Add ``outcome`` to ``posterior``. ``default_reference_s`` is used (and kept) while no reference latency is
    known.
    """
    if not fits(record, outcome):
        return posterior, Verdict.REFUSED
    if not record.learns:
        return posterior, Verdict.NOT_AN_ARM
    known = posterior.settled.get(record.decision.id) or _logged(record.settlement)
    if known is not None and (known.final or outcome.quality is None or outcome.failed):
        return posterior, Verdict.REPLAYED
    x = vector(record.decision.context)
    if known is not None and outcome.quality is not None:
        change = record.preference * (outcome.quality - known.quality)
        sums, settled, verdict = (
            ArmSums.correction(x, change, outcome.quality),
            Settled(outcome.quality, True),
            Verdict.CORRECTED,
        )
    else:
        posterior = posterior.with_reference(record.reference_s or default_reference_s)
        settled = _settled(record, outcome)
        measured = None if outcome.failed else outcome.quality
        sums, verdict = ArmSums.of(x, _reward(posterior, record, outcome, settled.quality), measured), Verdict.LEARNED
    return posterior.credited(record.decision.id, settled, record.learns, sums), verdict


def settlement_of(posterior: Posterior, decision_id: str) -> Settlement | None:
    """How ``decision_id`` stands in the posterior, in the form of the decision log."""
    settled = posterior.settled.get(decision_id)
    return None if settled is None else Settlement(quality=settled.quality, final=settled.final)


def _settled(record: DecisionRecord, outcome: Outcome) -> Settled:
    if outcome.failed:
        return Settled(0.0, True)
    if outcome.quality is not None:
        return Settled(outcome.quality, True)
    return Settled(record.expected_quality, False)


def _reward(posterior: Posterior, record: DecisionRecord, outcome: Outcome, quality: float) -> float:
    if outcome.failed or posterior.reference_s is None:
        return failed_reward(preference=record.preference)
    reference = posterior.reference_s * record.images
    latency = own_latency(record, outcome)
    return reward(quality, latency, preference=record.preference, reference_s=reference)


def outcome_of_act(record: DecisionRecord, said: UserAct, at: float) -> Outcome:
    """The decision's outcome with the quality that a user's act tells. Raises Busy while the outcome is not there, and
    InvalidInput where it is no picture's."""
    outcome = record.outcome
    if outcome is None:
        raise Busy(f"the outcome of decision {said.decision_id} is not known yet; say it again when its job has ended")
    if outcome.failed:
        raise InvalidInput("decision_id", "a decision whose job ended with a picture", said.decision_id)
    return outcome.model_copy(update={"quality": ACT_QUALITY[said.act], "judged_by": "user", "at": at})


def own_latency(record: DecisionRecord, outcome: Outcome) -> float:
    """Seconds that this decision is answerable for: not the suspension, nor the failed attempts, that came before it.

    The two clocks may differ, so it is never less than the stages themselves took.
    """
    return max(outcome.latency_s - record.waited_s, sum(outcome.stage_seconds), 0.0)


def _logged(settlement: Settlement | None) -> Settled | None:
    return None if settlement is None else Settled(settlement.quality, settlement.final)


def fits(record: DecisionRecord, outcome: Outcome) -> bool:
    """Whether an outcome is of this decision, and every number that is learned from is in range."""
    decision = record.decision
    same = (outcome.decision_id, outcome.job_id, outcome.arm) == (decision.id, decision.job_id, decision.arm)
    quality = outcome.quality is None or 0.0 <= outcome.quality <= 1.0  # False for NaN too
    finite = all(math.isfinite(seconds) for seconds in (outcome.latency_s, *outcome.stage_seconds))
    return same and quality and finite
