"""Means with bootstrap intervals over seeds. Every policy has the same seeds, so differences and ratios are paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLED = 4000
LEVEL = 0.95
WINDOW = 50
"""Jobs over which regret is averaged to say how soon a policy is good."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds of its 95 % interval."""

    value: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        """For people: value [low, high]."""
        return f"{self.value:.{digits}g} [{self.low:.{digits}g}, {self.high:.{digits}g}]"


def mean(values: Sequence[float]) -> Interval:
    """Of values by seed."""
    found = np.asarray(values, dtype=float)
    return _interval(float(found.mean()), found[_resampled(len(found))].mean(axis=1))


def difference(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """The mean of ours less theirs, seed by seed. Raises ValueError where they have not the same seeds."""
    a, b = _paired(ours, theirs)
    return mean((a - b).tolist())


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Our mean over theirs, both over the same drawn seeds. Raises ValueError where they have not the same seeds."""
    a, b = _paired(ours, theirs)
    rows = _resampled(len(a))
    return _interval(float(a.mean() / b.mean()), a[rows].mean(axis=1) / b[rows].mean(axis=1))


def jobs_until(regret: np.ndarray, random: np.ndarray, share: float) -> int | None:
    """After how many jobs WINDOW jobs in a row have a mean regret of ``share`` of that of random choices or less, and
    so the utility is within ``share`` of the oracle's on the way up from random; None where it never is. Arrays
    (jobs,).

    Both are smoothed over the window; random's is the mean over all jobs given, for chance does not learn.
    """
    kernel = np.ones(WINDOW) / WINDOW
    smooth = np.convolve(regret, kernel, mode="valid")
    good = np.flatnonzero(smooth <= share * random.mean())
    return int(good[0]) + WINDOW if good.size else None


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(ours, dtype=float), np.asarray(theirs, dtype=float)
    if a.shape != b.shape or a.size == 0:
        raise ValueError(f"wanted a value of each for every seed, got {a.size} and {b.size}")
    return a, b


def _resampled(count: int) -> np.ndarray:
    """Rows of seeds, drawn with replacement; the same for every figure of as many seeds."""
    return np.random.default_rng(20_261_124).integers(count, size=(RESAMPLED, count))


def _interval(value: float, drawn: np.ndarray) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, float(low), float(high))
