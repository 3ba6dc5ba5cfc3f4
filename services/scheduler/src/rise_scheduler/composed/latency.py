"""The seconds that jobs will take by what was learned, and how sure that is.

    T = sum of stages m(pool, member) x seconds by formula + m(wait) x wait + handoffs + rest x reference

Each m is exp of a normal with the mean and variance of its level; var T = sum of (m x seconds)^2 x that variance.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np

from rise_scheduler.composed.knowledge import WAIT_FLOOR, Knowledge, Learning
from rise_scheduler.placing import Candidate
from rise_scheduler.posterior import Array

UNKNOWN_SD = 1.0
"""The deviation of the logarithm of a stage that nobody has measured: anything from a third to three times."""

Multipliers = dict[str, tuple[float, float]]
_LEARNED: WeakKeyDictionary[Knowledge, Multipliers] = WeakKeyDictionary()


def multipliers(known: Knowledge, how: Learning) -> Multipliers:
    """Of each level on latency: exp of its mean (for the rest: the mean itself), and its variance; of each arm, the
    share of failures."""
    kept = _LEARNED.get(known)
    if kept is None:
        kept = {name: _multiplier(known, name, how) for name in known.levels}
        _LEARNED[known] = kept
    return kept


def _multiplier(known: Knowledge, name: str, how: Learning) -> tuple[float, float]:
    if name.startswith("failed/"):
        level = known.level(name, how.failure_memory)
        return level.total / (level.n + FAILURES_AMONG), 0.0
    mean, variance = known.level(name, how.latency_memory).posterior(how.latency_prior_sd, how.latency_noise_sd)
    return (mean if name.startswith("rest/") else math.exp(mean)), variance


FAILURES_AMONG = 20.0
"""An arm counts as one that works: as if so many of its jobs had ended well."""


def latencies(
    candidates: Sequence[Candidate], known: Knowledge, how: Learning, reference_s: float
) -> tuple[Array, Array, Array]:
    """Per candidate (K,): seconds, their variance, and the seconds of edge workers in it."""
    learned = multipliers(known, how)
    fresh = (1.0, how.latency_prior_sd**2)
    rest_fresh = (0.0, how.latency_prior_sd**2 / 4)
    floor = WAIT_FLOOR * reference_s
    found = np.empty((len(candidates), 3))
    for row, candidate in enumerate(candidates):
        forecast = candidate.forecast
        total = sum(forecast.moves)
        variance = edge = 0.0
        for key, tier, seconds, wait in zip(
            candidate.keys, candidate.tiers, forecast.stage_seconds, forecast.waits, strict=True
        ):
            times, spread = learned.get(key, fresh)
            if seconds is None:
                seconds, spread = reference_s, UNKNOWN_SD
            seconds *= times
            total += seconds + wait
            variance += seconds * seconds * spread
            if tier == "edge":
                edge += seconds
        wait = forecast.waits[0]
        times, spread = learned.get(candidate.wait_key, fresh)
        waited = max((wait + floor) * times - floor, 0.0)
        rest, rest_spread = learned.get(candidate.rest_key, rest_fresh)
        total = max(total + waited - wait + rest * reference_s, 1e-3 * reference_s)
        variance += waited * waited * spread + rest_spread * reference_s * reference_s
        found[row] = total, variance, edge
    return found[:, 0], found[:, 1], found[:, 2]
