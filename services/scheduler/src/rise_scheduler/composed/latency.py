"""The seconds that jobs will take by what was learned, and how sure that is.

    T = sum of stages m(pool, member) x seconds by formula + m(wait) x wait + handoffs + rest x reference

Each m is exp of a normal with the mean and variance of its level; var T = sum of (m x seconds)^2 x that variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from rise_scheduler.composed.knowledge import WAIT_FLOOR, Knowledge, Learning
from rise_scheduler.placing import Candidate
from rise_scheduler.posterior import Array

UNKNOWN_SD = 1.0
"""The deviation of the logarithm of a stage that nobody has measured: anything from a third to three times."""


@dataclass(frozen=True, slots=True)
class Slowness:
    """``times`` by level: exp of its mean (for the rest: the mean itself) and its variance; ``failing``: by arm, the
    share of its jobs that end without a picture, where any did."""

    times: dict[str, tuple[float, float]]
    failing: dict[str, float]


_SLOWNESS: WeakKeyDictionary[Knowledge, Slowness] = WeakKeyDictionary()

FAILURES_AMONG = 20.0
"""An arm counts as one that works: as if so many of its jobs had ended well."""


def slowness_of(known: Knowledge, how: Learning) -> Slowness:
    """What was learned of latencies, worked out once for each state of it."""
    kept = _SLOWNESS.get(known)
    if kept is None:
        kept = _SLOWNESS[known] = _slowness(known, how)
    return kept


def _slowness(known: Knowledge, how: Learning) -> Slowness:
    times, failing = {}, {}
    for name in known.levels:
        kind, _, rest = name.partition("/")
        level = known.level(name, how)
        if kind == "failed":
            if level.total > 0:
                failing[rest] = level.total / (level.n + FAILURES_AMONG)
        else:
            mean, variance = level.posterior(how.latency_prior_sd, how.latency_noise_sd)
            times[name] = (mean if kind == "rest" else math.exp(mean)), variance
    return Slowness(times, failing)


def latencies(
    candidates: Sequence[Candidate], known: Knowledge, how: Learning, reference_s: float
) -> tuple[Array, Array, Array]:
    """Per candidate (K,): seconds, their variance, and the seconds of edge workers in it."""
    times = slowness_of(known, how).times
    fresh, rest_fresh = (1.0, how.latency_prior_sd**2), (0.0, how.latency_prior_sd**2 / 4)
    floor, square = WAIT_FLOOR * reference_s, reference_s * reference_s
    totals, variances, edges = [], [], []
    for candidate in candidates:
        forecast = candidate.forecast
        total, variance, edge = sum(forecast.moves) + sum(forecast.waits), 0.0, 0.0
        for key, tier, seconds in zip(candidate.keys, candidate.tiers, forecast.stage_seconds, strict=True):
            factor, spread = times.get(key, fresh)
            if seconds is None:
                seconds, spread = reference_s, UNKNOWN_SD
            seconds *= factor
            total += seconds
            variance += seconds * seconds * spread
            if tier == "edge":
                edge += seconds
        wait = forecast.waits[0]
        factor, spread = times.get(candidate.wait_key, fresh)
        rest, rest_spread = times.get(candidate.rest_key, rest_fresh)
        waited = wait * factor + floor * (factor - 1.0)
        waited = max(0.0, waited)
        totals.append(total + waited - wait + rest * reference_s)
        variances.append(variance + waited * waited * spread + rest_spread * square)
        edges.append(edge)
    return np.maximum(totals, 1e-3 * reference_s), np.array(variances), np.array(edges)
