"""The seconds that jobs will take by what was learned, and how sure that is.

    T = sum of stages m x seconds by formula + m(wait) x wait + loads + handoffs + rest x reference

Each m is exp of a normal, whose mean and variance the ridge of logarithms gives; var T = sum of (m x seconds)^2 x (that
variance + the pace's own, by its age) + var loads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.composed.knowledge import Knowledge, Learning
from rise_scheduler.composed.prior import Prior, Solved, solved
from rise_scheduler.composed.seconds import FLOOR, NOISE_SD
from rise_scheduler.placing import Candidate
from rise_scheduler.posterior import Array

UNKNOWN_SD = 1.0
"""The deviation of the logarithm of a stage that nobody has measured: anything from a third to three times."""


@dataclass(frozen=True, slots=True)
class Line:
    """The logarithm of a multiplier as ``level + slope u``, and the variances of both and their covariance."""

    level: float
    slope: float
    level_var: float
    cross: float
    slope_var: float


@dataclass(frozen=True, slots=True)
class Slowness:
    """``model`` are the logarithms by what was ``seen``; ``rests`` by kind of arm: mean and variance in reference
    latencies; ``failing`` by arm: the share of its jobs that end without a picture, where any did."""

    seen: Ridge
    model: Solved
    prior: Prior
    rests: dict[str, tuple[float, float]]
    failing: dict[str, float]
    lines: dict[str, Line]

    def stage(self, key: str) -> Line:
        """Of a stage at ``pool/member``, u its shortness."""
        line = self.lines.get(key)
        if line is None:
            pool = key.partition("/")[0]
            line = self.lines[key] = self._line((f"pool={pool}", f"runs={key}"), f"short={key}")
        return line

    def wait(self, key: str) -> Line:
        """Of the wait at ``wait/pool``."""
        line = self.lines.get(key)
        if line is None:
            pool = key.partition("/")[2]
            line = self.lines[key] = self._line((f"pool={pool}", f"wait={pool}"), "")
        return line

    def factors(self) -> dict[str, tuple[float, float]]:
        """For people: by pool/member (stages as long as those seen) and by wait/pool, how many times as long as by
        formula, and the deviation of its logarithm."""
        found = {}
        for name in self.model.names:
            kind, _, what = name.partition("=")
            if kind == "runs":
                found[what] = _at(self.stage(what), self._usual_shortness(what))
            elif kind == "wait":
                found[f"wait/{what}"] = _at(self.wait(f"wait/{what}"), 0.0)
        return found

    def _usual_shortness(self, key: str) -> float:
        """The mean over what was seen: sum of u x 1 over sum of 1 x 1."""
        pair = self.seen.over((f"runs={key}", f"short={key}")).xtx
        return float(pair[0, 1] / pair[0, 0]) if pair[0, 0] > 0 else 0.0

    def _line(self, levels: Sequence[str], slope: str) -> Line:
        """Features that nothing was seen of are as their prior says, and independent of the others."""
        names = {name: index for index, name in enumerate(self.model.names)}
        known = [names[name] for name in levels if name in names]
        unknown = sum(NOISE_SD**2 / self.prior.precision_of(name) for name in levels if name not in names)
        theta, inverse, square = self.model.theta, self.model.inverse, NOISE_SD**2
        level_var = float(inverse[np.ix_(known, known)].sum()) * square + unknown
        at = names.get(slope)
        if at is None:
            return Line(float(theta[known].sum()), 0.0, level_var, 0.0, 0.0)
        cross = float(inverse[at, known].sum()) * square
        return Line(float(theta[known].sum()), float(theta[at]), level_var, cross, float(inverse[at, at]) * square)


def _at(line: Line, short: float) -> tuple[float, float]:
    variance = line.level_var + short * (2.0 * line.cross + short * line.slope_var)
    return math.exp(line.level + short * line.slope), math.sqrt(variance)


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
    rests, failing = {}, {}
    for name in known.levels:
        kind, _, what = name.partition("/")
        level = known.level(name, how)
        if kind == "rest":
            rests[what] = level.posterior(how.rest_sd, how.rest_sd)
        elif kind == "failed" and level.total > 0:
            failing[what] = level.total / (level.n + FAILURES_AMONG)
    model = solved(known.seconds, known.seconds.names, how.seconds_prior)
    return Slowness(known.seconds, model, how.seconds_prior, rests, failing, {})


def latencies(
    candidates: Sequence[Candidate], known: Knowledge, how: Learning, reference_s: float
) -> tuple[Array, Array, Array]:
    """Per candidate (K,): seconds, their variance, and the seconds of edge workers in it."""
    slowness = slowness_of(known, how)
    lines, rests, exp = slowness.lines, slowness.rests, math.exp
    floor, square, fresh = FLOOR * reference_s, reference_s * reference_s, (0.0, how.rest_sd**2)
    totals, variances, edges = [], [], []
    for candidate in candidates:
        forecast = candidate.forecast
        total, variance, edge = forecast.beside, forecast.load_variance, forecast.edge_load_s
        for key, tier, seconds, aged in candidate.stages:
            line = lines.get(key) or slowness.stage(key)
            if seconds is None:
                seconds, spread = reference_s * exp(line.level), UNKNOWN_SD
            else:
                short = floor / seconds if seconds > floor else 1.0
                spread = aged + line.level_var + short * (2.0 * line.cross + short * line.slope_var)
                seconds *= exp(line.level + line.slope * short)
            total += seconds
            variance += seconds * seconds * spread
            if tier == "edge":
                edge += seconds
        wait = forecast.waits[0]
        if wait > 0.0:
            key = candidate.wait_key
            line = lines.get(key) or slowness.wait(key)
            factor = exp(line.level)
            waited = max(wait * factor + floor * (factor - 1.0), 0.0)
            total += waited - wait
            variance += waited * waited * line.level_var
        rest, rest_spread = rests.get(candidate.arm.kind, fresh)
        totals.append(total + rest * reference_s)
        variances.append(variance + rest_spread * square)
        edges.append(edge)
    return np.maximum(totals, 1e-3 * reference_s), np.array(variances), np.array(edges)
