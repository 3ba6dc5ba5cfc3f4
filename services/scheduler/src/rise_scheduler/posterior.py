"""What the scheduler has learned of one family: per arm the additive sums of ridge regression, and nothing that
cannot be added.

``xtx`` is the sum of x x^T and ``rx`` the sum of r x over the outcomes of an arm; the prior (a multiple of the
identity) is added when they are solved and never stored. Sums commute, so two replicas that each add their own
outcomes to the shared record learn as one, in any order, and a restart loses nothing. ``settled`` remembers the last
outcomes by decision id *in the same record*, so that adding an outcome and noting that it was added cannot come
apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SETTLED_KEPT = 256
"""Must outlast the gap between storing the posterior and marking the decision in the log; each costs about 70 bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class ArmSums:
    """Sums over the outcomes of one arm. ``xtx`` is (d, d), ``rx`` is (d,); quality sums count measured quality
    alone.
    """

    xtx: Array
    rx: Array
    n: int = 0
    quality_sum: float = 0.0
    quality_n: int = 0

    @staticmethod
    def empty(dim: int) -> ArmSums:
        """The sums of no outcome at all."""
        return ArmSums(np.zeros((dim, dim)), np.zeros(dim))

    @staticmethod
    def of(x: Array, reward: float, quality: float | None) -> ArmSums:
        """The sums of one outcome: context ``x`` (d,), its reward, its quality where that was measured."""
        measured = quality is not None
        return ArmSums(np.outer(x, x), reward * x, 1, quality or 0.0, int(measured))

    @staticmethod
    def correction(x: Array, change: float, quality: float) -> ArmSums:
        """What to add when the reward of an outcome already counted changes by ``change``, as its quality is measured
        at last.
        """
        return ArmSums(np.zeros((x.size, x.size)), change * x, 0, quality, 1)

    def plus(self, other: ArmSums) -> ArmSums:
        """The sums of both sets of outcomes."""
        return ArmSums(
            self.xtx + other.xtx,
            self.rx + other.rx,
            self.n + other.n,
            self.quality_sum + other.quality_sum,
            self.quality_n + other.quality_n,
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """How an outcome was credited: with which quality, and whether that is the last word or an estimate to be
    corrected.
    """

    quality: float
    final: bool


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """The record of one family. ``reference_s`` is the latency of one image that counts as 1; the first to know it
    sets it.
    """

    features: tuple[str, ...]
    arms: Mapping[str, ArmSums] = field(default_factory=dict)
    settled: Mapping[str, Settled] = field(default_factory=dict)
    reference_s: float | None = None

    @property
    def outcomes(self) -> int:
        """How many outcomes were learned from, over all arms."""
        return sum(sums.n for sums in self.arms.values())

    def arm(self, name: str) -> ArmSums:
        """The sums of ``name``; empty ones for an arm never tried."""
        return self.arms.get(name) or ArmSums.empty(len(self.features))

    def mean_quality(self, name: str) -> float | None:
        """The mean measured quality of ``name``, or None while none was measured."""
        sums = self.arms.get(name)
        return sums.quality_sum / sums.quality_n if sums and sums.quality_n else None

    def with_reference(self, seconds: float) -> Posterior:
        """Set the reference latency once; later values are ignored, so that rewards stay comparable."""
        return self if self.reference_s is not None else replace(self, reference_s=seconds)

    def credited(self, decision_id: str, settled: Settled, arm: str, sums: ArmSums) -> Posterior:
        """Add ``sums`` to ``arm`` and note that ``decision_id`` is settled, in one value."""
        arms = {**self.arms, arm: self.arm(arm).plus(sums)}
        notes = {key: value for key, value in self.settled.items() if key != decision_id}
        notes[decision_id] = settled  # the young end
        for old in list(notes)[: max(len(notes) - SETTLED_KEPT, 0)]:
            del notes[old]
        return replace(self, arms=arms, settled=notes)
