"""What is believed of quality before any outcome, and the solution of the sums under it.

    A = A0 + S,  theta = A^-1 (b0 + b),  variance of x: x^T A^-1 x

A0 is a diagonal (how far each kind of feature may be from nothing, in units of the noise) and, where outcomes of
another time or place are at hand, their sums, scaled to be worth ``weight`` outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from weakref import WeakKeyDictionary

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.posterior import Array

QUALITY = {"arm": 10.0, "prompt": 4.0}
"""By the first word of a feature; others have 1. An arm differs little from what its features say."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Prior:
    """See the module. ``offline`` holds sums as they were learned, ``weight`` how many outcomes they shall be worth at
    most; A0's diagonal is ``precision`` times what ``precisions`` says of a feature's first word, or 1."""

    offline: Ridge = field(default_factory=Ridge)
    weight: float = 2000.0
    precision: float = 0.3
    precisions: Mapping[str, float] = field(default_factory=lambda: QUALITY)

    def sums(self, names: tuple[str, ...], trust: float = 1.0) -> Ridge:
        """A0 and b0 over ``names``; the offline sums count only as far as they are trusted, 0..1."""
        return _sums(self, names, trust)

    def precision_of(self, name: str) -> float:
        """The diagonal's entry of a feature."""
        return self.precision * self.precisions.get(_kind(name), 1.0)


QUALITY_PRIOR = Prior()
"""Nothing but what sizes and steps say."""


@lru_cache(maxsize=64)
def _sums(prior: Prior, names: tuple[str, ...], trust: float) -> Ridge:
    known = prior.offline.over(names)
    known = known.scaled(trust * min(prior.weight / known.n, 1.0)) if known.n > 0 else known
    diagonal = np.array([prior.precision_of(name) for name in names])
    return Ridge(names, known.xtx + np.diag(diagonal), known.rx, known.n)


def _kind(name: str) -> str:
    return name.replace("=", ".").partition(".")[0]


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Solved:
    """The model over ``names``: coefficients ``theta`` (d,) and ``inverse`` (d, d) of A, made anew from the sums each
    time and never updated in place."""

    names: tuple[str, ...]
    theta: Array
    inverse: Array

    def mean_of(self, x: Mapping[str, float]) -> float:
        """The mean at features given by name."""
        return float(sum(weight * x.get(name, 0.0) for name, weight in zip(self.names, self.theta, strict=True)))


_SOLVED: WeakKeyDictionary[Ridge, dict[tuple[Prior, tuple[str, ...], float], Solved]] = WeakKeyDictionary()


def solved(ridge: Ridge, names: tuple[str, ...], prior: Prior, trust: float = 1.0) -> Solved:
    """Solve by Cholesky. Solutions of the same sums are kept for as long as these are."""
    kept = _SOLVED.setdefault(ridge, {})
    solution = kept.get((prior, names, trust))
    if solution is None:
        solution = kept[prior, names, trust] = _solved(prior.sums(names, trust), ridge.over(names))
    return solution


def _solved(believed: Ridge, seen: Ridge) -> Solved:
    if not seen.names:
        return Solved((), np.zeros(0), np.zeros((0, 0)))
    factor = cho_factor(believed.xtx + seen.xtx, lower=True)
    return Solved(seen.names, cho_solve(factor, believed.rx + seen.rx), _inverse(factor, len(seen.names)))


def _inverse(factor: tuple[Array, bool], size: int) -> Array:
    """By rows, as what it is multiplied with: by columns a product takes half as long again."""
    return np.ascontiguousarray(cho_solve(factor, np.eye(size)))
