"""What the scheduler counts, in the registry that ``rise_runtime.telemetry`` serves.

Labels are bounded: an arm that is none of its family's (a job that fixed its own stages) counts as "other", however
many of them there are.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from rise_contracts.decisions import DecisionRecord
from rise_contracts.messages import Outcome
from rise_scheduler.learn import Verdict, own_latency

DECISIONS = Counter("rise_decisions_total", "Decisions by policy and arm.", ("policy", "arm"))
REFUSED = Counter("rise_decisions_refused_total", "Questions without an answer, by the error's reason.", ("reason",))
DECISION_SECONDS = Histogram(
    "rise_decision_seconds",
    "From a question to its answer, the decision log written.",
    buckets=(0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
OUTCOMES = Counter("rise_outcomes_total", "Outcomes by what they did.", ("verdict",))
PREDICTION_RATIO = Histogram(
    "rise_prediction_ratio",
    "Observed over predicted latency of jobs that ended well.",
    ("policy",),
    buckets=(0.25, 0.5, 0.67, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.25, 1.5, 2, 4, 8),
)


def count_decision(record: DecisionRecord, seconds: float) -> None:
    """Count an answer that took ``seconds``."""
    DECISIONS.labels(record.decision.policy, record.learns or "other").inc()
    DECISION_SECONDS.observe(seconds)


def count_outcome(verdict: Verdict) -> None:
    """Count an outcome of a decision that is known."""
    OUTCOMES.labels(word(verdict)).inc()


def note_error(record: DecisionRecord, outcome: Outcome) -> None:
    """How far the prediction was off, where there was one and the job has a latency that says something."""
    predicted = record.decision.predictions.latency_s
    if predicted is not None and predicted > 0 and not outcome.failed:
        PREDICTION_RATIO.labels(record.decision.policy).observe(own_latency(record, outcome) / predicted)


def word(verdict: Verdict) -> str:
    """The verdict as one word: ``not-an-arm``."""
    return verdict.name.lower().replace("_", "-")
