"""Baselines that learn nothing: a fixed order of arms, chance, the shortest forecast, and the formula."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.scheduling.seam import Asked, Chosen, News
from benchmarks.scheduling.world import Prior, utilities
from rise_scheduler.arm import Arm


class _Unmoved:
    """Learns nothing."""

    def learn(self, news: News) -> None:
        return


@dataclass
class Ranked(_Unmoved):
    """The first of ``order`` (indices of arms) that can run."""

    order: Sequence[int]

    def __post_init__(self) -> None:
        self._rank = np.empty(len(self.order), dtype=int)
        self._rank[list(self.order)] = np.arange(len(self.order))

    def choose(self, asked: Asked) -> Chosen:
        return Chosen(int(self._rank[asked.arms].argmin()))


class Random(_Unmoved):
    """Any arm that can run."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 77])

    def choose(self, asked: Asked) -> Chosen:
        return Chosen(int(self._rng.integers(len(asked.arms))), 1.0 / len(asked.arms))


class Shortest(_Unmoved):
    """The shortest expected latency by the formula."""

    def choose(self, asked: Asked) -> Chosen:
        return Chosen(int(asked.latency.argmin()))


class Analytic(_Unmoved):
    """The formula and a table of mean qualities, greedily; nothing is learned. ``end`` is added to the formula for
    every stage, as a share of the reference latency: encoding and decoding, which it leaves out."""

    def __init__(self, prior: Prior, reference_s: float, end: float = 0.0, shrink: float = 0.0) -> None:
        means = prior.scores.mean(axis=0)
        self._quality = means + shrink * (means.mean() - means)
        self._reference_s = reference_s
        self._end_s = end * reference_s

    def choose(self, asked: Asked) -> Chosen:
        return Chosen(int(self.values(asked).argmax()))

    def values(self, asked: Asked) -> np.ndarray:
        """The utility expected of each candidate."""
        stages = np.array([len(item.keys) for item in asked.question.candidates])
        latency = asked.latency + self._end_s * stages
        preference = np.array([asked.question.preference])
        found: np.ndarray = utilities(self._quality[asked.arms], latency, preference, self._reference_s)[0]
        return found


def first_of(arms: Sequence[Arm], kinds: Sequence[str], names: Sequence[str] = ()) -> list[int]:
    """An order that begins with ``names``, then goes by ``kinds``, then takes the rest, each in the order of the
    list."""

    def rank(index: int) -> tuple[int, int, int]:
        arm = arms[index]
        named = names.index(arm.name) if arm.name in names else len(names)
        return named, kinds.index(arm.kind) if arm.kind in kinds else len(kinds), index

    return sorted(range(len(arms)), key=rank)
