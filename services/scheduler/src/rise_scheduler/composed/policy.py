"""The choice: the highest optimistic utility, less the price of the edge's time.

    U = w q - (1 - w) / 2 min(T / T_ref, 2)          w the user's preference
    score = U + alpha sqrt((w sd_q)^2 + (dU/dT sd_T)^2) - price x min(edge seconds / T_ref, 1)

An arm that is believed to be worse than the best by more than ``margin`` is not explored, and while the edge is busy
none is. A job with a deadline takes no arm that would probably miss it while another would keep it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from rise_scheduler.composed.knowledge import Learning
from rise_scheduler.composed.latency import latencies, slowness_of
from rise_scheduler.composed.qualities import qualities
from rise_scheduler.composed.seconds import NOISE_SD
from rise_scheduler.linucb import ArmScore
from rise_scheduler.policies import Choice, Question, drawn
from rise_scheduler.posterior import Array
from rise_scheduler.reward import LATENCY_CAP

Mask = NDArray[np.bool_]

IN_TIME = 0.9
"""An arm whose probability to keep a job's deadline is below this share of the surest arm's is left out."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores(Sequence[ArmScore]):
    """What was thought of each candidate, as arrays (K,); read as a sequence of ArmScore."""

    arms: tuple[str, ...]
    mean: Array
    width: Array
    score: Array
    quality: Array
    latency_s: Array
    latency_sd: Array
    price: Array

    def __len__(self) -> int:
        return len(self.arms)

    @overload
    def __getitem__(self, index: int) -> ArmScore: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ArmScore]: ...
    def __getitem__(self, index: int | slice) -> ArmScore | Sequence[ArmScore]:
        return list(self)[index]

    def __iter__(self) -> Iterator[ArmScore]:
        """Each array is read as a whole, for one number after another takes several times as long."""
        columns = (self.mean, self.width, self.score, self.quality, self.latency_s, self.price)
        return map(ArmScore, self.arms, *(column.tolist() for column in columns))


@dataclass(frozen=True, slots=True)
class ComposedPolicy:
    """See the module. ``epsilon`` and ``band`` spread choices for off-policy estimates, as those of LinUcbPolicy do."""

    learning: Learning = field(default_factory=Learning)
    alpha: float = 0.2
    margin: float = 0.2
    epsilon: float = 0.0
    band: float = 0.05
    name: str = "composed"
    weighs_seconds: bool = True

    def choose(self, question: Question) -> Choice:
        """The best score among the arms that may be tried, or a draw within the band."""
        scores, allowed = self.scored(question)
        ranked = np.where(allowed, scores.score, -np.inf)
        best = int(ranked.argmax())
        if self.epsilon <= 0.0:
            return Choice(best, 1.0, scores)
        near = np.flatnonzero(ranked >= ranked[best] - self.band).tolist()
        chosen, propensity = drawn(near, best, self.epsilon, question.draw)
        return Choice(chosen, propensity, scores)

    def scored(self, question: Question) -> tuple[Scores, Mask]:
        """What is thought of each candidate, and which of them may be chosen (K,), at least one."""
        known, w, reference = question.learned.composed, question.preference, question.reference_s
        how = self.learning.of(question.family.metadata.name)
        arms = [candidate.arm for candidate in question.candidates]
        quality, quality_sd = qualities(arms, question.family, question.prompt, known, how)
        latency, variance, edge = latencies(question.candidates, known, how, reference)
        slowness = latency / reference
        mean = w * quality - (1.0 - w) * 0.5 * np.minimum(slowness, LATENCY_CAP)
        failing = _failing(question, how)
        if failing is not None:
            mean = (1.0 - failing) * mean - failing * (1.0 - w) * 0.5 * LATENCY_CAP
        by_time = np.where(slowness < LATENCY_CAP, (1.0 - w) * 0.5 / reference, 0.0)
        width = np.sqrt((w * quality_sd) ** 2 + by_time**2 * variance)
        price = question.price * np.minimum(edge / reference, 1.0)
        scores = Scores(
            tuple([arm.name for arm in arms]),
            mean,
            width,
            mean + self.alpha * width - price,
            quality,
            latency,
            np.sqrt(variance),
            price,
        )
        return scores, self._allowed(scores, question)

    def _allowed(self, scores: Scores, question: Question) -> Mask:
        priced = scores.mean - scores.price
        allowed: Mask = priced >= priced.max() - (0.0 if question.busy else self.margin)
        if question.deadline_s is None:
            return allowed
        spread = np.sqrt(np.log1p((scores.latency_sd / scores.latency_s) ** 2) + NOISE_SD**2)
        kept = ndtr((math.log(max(question.deadline_s, 1e-3)) - np.log(scores.latency_s)) / spread)
        in_time: Mask = kept >= IN_TIME * kept.max()
        return allowed & in_time if (allowed & in_time).any() else in_time


def _failing(question: Question, how: Learning) -> Array | None:
    """The probability that each arm's job ends without a picture (K,); None where none ever did."""
    failing = slowness_of(question.learned.composed, how).failing
    return np.array([failing.get(item.arm.name, 0.0) for item in question.candidates]) if failing else None
