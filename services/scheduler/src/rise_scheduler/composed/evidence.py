"""Evidence that fades: of a linear model (``Ridge``) and of one number (``Level``). Both are sums, so they can be
added.

Time is counted in outcomes (``clock``). An outcome weighs exp(-(now - its decision's clock) / memory), whenever it
comes in: late ones arrive already faded, and the sums do not depend on the order of arrival. Only what was seen fades,
never the prior, which is added when the sums are solved; so A = A0 + S stays positive definite for ever (Kulhavy and
Zarrop, 1993; the rank-one update of an inverse loses that with forgetting).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rise_scheduler.posterior import Array

NAMES_KEPT = 256
"""Features of arms and members that are gone are dropped beyond this many, those with the least evidence first."""


def faded(ticks: int, memory: float) -> float:
    """The weight of an outcome after ``ticks`` more; ``memory`` inf forgets nothing. Never above 1: a clock that steps
    back makes nothing younger than now."""
    return math.exp(-max(ticks, 0) / memory)


@dataclass(frozen=True, slots=True)
class Level:
    """Weighted sums of one number: how much was seen and its total, as of ``clock``."""

    n: float = 0.0
    total: float = 0.0
    clock: int = 0

    def at(self, clock: int, memory: float) -> Level:
        """The same evidence at a later clock."""
        if clock <= self.clock:
            return self
        weight = faded(clock - self.clock, memory)
        return Level(self.n * weight, self.total * weight, clock)

    def plus(self, value: float, weight: float) -> Level:
        """With one number more."""
        return replace(self, n=self.n + weight, total=self.total + weight * value)

    def posterior(self, prior_sd: float, noise_sd: float, centre: float = 0.0) -> tuple[float, float]:
        """Mean and variance of the number, under a normal prior around ``centre`` and normal noise."""
        precision = 1.0 / prior_sd**2 + self.n / noise_sd**2
        return (centre / prior_sd**2 + self.total / noise_sd**2) / precision, 1.0 / precision


def _nothing(dim: int = 0) -> Array:
    return np.zeros((dim, dim))


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Ridge:
    """Weighted sums over outcomes with features: ``xtx`` (d, d) of x x^T, ``rx`` (d,) of y x, as of ``clock``."""

    names: tuple[str, ...] = ()
    xtx: Array = field(default_factory=_nothing)
    rx: Array = field(default_factory=lambda: np.zeros(0))
    n: float = 0.0
    clock: int = 0

    @staticmethod
    def of(names: tuple[str, ...], x: Array, y: Array) -> Ridge:
        """The sums of outcomes as rows: ``x`` (n, d) in the order of ``names``, their values ``y`` (n,)."""
        return Ridge(names, x.T @ x, x.T @ y, float(len(y)))

    def at(self, clock: int, memory: float) -> Ridge:
        """The same evidence at a later clock."""
        if clock <= self.clock:
            return self
        weight = faded(clock - self.clock, memory)
        return replace(self, xtx=self.xtx * weight, rx=self.rx * weight, n=self.n * weight, clock=clock)

    def scaled(self, factor: float) -> Ridge:
        """As if every outcome had weighed ``factor`` times as much."""
        return replace(self, xtx=self.xtx * factor, rx=self.rx * factor, n=self.n * factor)

    def over(self, names: tuple[str, ...]) -> Ridge:
        """The sums over the features ``names``; one that is new has no evidence, others are left out."""
        if names == self.names:
            return self
        place = {name: index for index, name in enumerate(self.names)}
        pairs = [(new, place[name]) for new, name in enumerate(names) if name in place]
        xtx, rx = np.zeros((len(names), len(names))), np.zeros(len(names))
        if pairs:
            new, old = (list(side) for side in zip(*pairs, strict=True))
            xtx[np.ix_(new, new)], rx[new] = self.xtx[np.ix_(old, old)], self.rx[old]
        return replace(self, names=names, xtx=xtx, rx=rx)

    def plus(self, x: Mapping[str, float], y: float, weight: float) -> Ridge:
        """With one outcome more: features by name (others are 0) and its value."""
        wide = self.over(_with_room(self, tuple(name for name in x if name not in set(self.names))))
        vector = np.array([x.get(name, 0.0) for name in wide.names])
        return replace(
            wide,
            xtx=wide.xtx + weight * np.outer(vector, vector),
            rx=wide.rx + weight * y * vector,
            n=wide.n + weight,
        )


def _with_room(ridge: Ridge, new: tuple[str, ...]) -> tuple[str, ...]:
    surplus = len(ridge.names) + len(new) - NAMES_KEPT
    if surplus <= 0:
        return ridge.names + new
    weakest = set(np.argsort(ridge.xtx.diagonal(), kind="stable")[:surplus].tolist())
    return tuple(name for index, name in enumerate(ridge.names) if index not in weakest) + new
