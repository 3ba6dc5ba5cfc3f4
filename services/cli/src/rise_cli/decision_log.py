"""The decision log as points over time: what was chosen, what it should have taken and took, what better there was.

Regret is estimated, for nobody knows what another arm would have done. Against the best mean utility among the
candidates, as the policy believed when it decided, are held

- the mean of the arm that it chose: what it gave up knowingly, to learn, for the edge's price or for a deadline;
- the utility that the job really had: this, and all that it was wrong about. One job's value says little (its luck is
  in it, and the best of many means is believed too good); their sum over time shows whether it learns.

Nothing is asked here, and nothing of the records but these numbers is kept.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from rise_contracts.decisions import DecisionRecord
from rise_contracts.utility import failed_utility, utility


@dataclass(frozen=True, slots=True)
class Point:
    """One decision. Seconds are of the job from this decision on; None is "not known", or "not ended yet"."""

    at: float
    family: str
    policy: str
    arm: str
    kind: str
    predicted_s: float | None
    observed_s: float | None
    failed: bool
    best_mean: float | None
    chosen_mean: float | None
    utility: float | None

    @property
    def given_up(self) -> float | None:
        """What the choice gave up knowingly; see the module."""
        if self.best_mean is None or self.chosen_mean is None:
            return None
        return self.best_mean - self.chosen_mean

    @property
    def missed(self) -> float | None:
        """What the job was worth less than the best was believed to be."""
        return None if self.best_mean is None or self.utility is None else self.best_mean - self.utility


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How good the predictions were, over ``n`` jobs: the middle of observed over predicted seconds, and the middle of
    the error's size as a share of the observed."""

    n: int
    ratio: float
    error: float


def point(record: DecisionRecord) -> Point:
    """What is shown of a decision."""
    decision = record.decision
    means = {view.arm: view.mean for view in record.candidates if view.mean is not None and not view.masked}
    outcome = record.outcome
    ended_well = outcome is not None and not outcome.failed
    return Point(
        at=record.at,
        family=record.family,
        policy=decision.policy,
        arm=decision.arm,
        kind=next((view.kind for view in record.candidates if view.arm == decision.arm), "relay"),
        predicted_s=decision.predictions.latency_s,
        observed_s=_own_latency(record) if ended_well else None,
        failed=outcome is not None and outcome.failed,
        best_mean=max(means.values(), default=None),
        chosen_mean=means.get(decision.arm),
        utility=_utility(record),
    )


def shares(points: Iterable[Point]) -> list[tuple[str, int]]:
    """The arms by how often they were chosen, the most frequent first; equals by name."""
    counted = Counter(item.arm for item in points)
    return sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))


def accuracy(points: Iterable[Point]) -> Accuracy | None:
    """How good the predictions were; None where no job tells."""
    pairs = [(item.observed_s, item.predicted_s) for item in points if item.observed_s and item.predicted_s]
    if not pairs:
        return None
    return Accuracy(
        len(pairs),
        median(observed / predicted for observed, predicted in pairs),
        median(abs(observed - predicted) / observed for observed, predicted in pairs),
    )


def cumulative(values: Sequence[float | None]) -> list[float]:
    """Running sums; what is not known adds nothing."""
    return list(itertools.accumulate(value or 0.0 for value in values))


def _own_latency(record: DecisionRecord) -> float:
    """As the scheduler counts: without what came before the decision, and no less than the stages took."""
    outcome = record.outcome
    assert outcome is not None
    return max(outcome.latency_s - record.waited_s, sum(outcome.stage_seconds), 0.0)


def _utility(record: DecisionRecord) -> float | None:
    """By the measured quality, else by the expected one; None for a job that has not ended."""
    outcome, basis = record.outcome, record.basis
    if outcome is None or basis is None or not math.isfinite(basis.reference_s):
        return None
    if outcome.failed:
        return failed_utility(preference=record.preference)
    expected = record.decision.predictions.quality
    quality = next(each for each in (outcome.quality, expected, record.expected_quality) if each is not None)
    return utility(quality, _own_latency(record), preference=record.preference, reference_s=basis.reference_s)
