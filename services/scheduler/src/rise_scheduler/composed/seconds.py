"""How much longer than by formula things take: one ridge over the logarithms of measured over predicted seconds.

What slows a pool down slows all that runs there, waiting included, so levels share evidence by name: ``pool=P`` for
everything at a pool, ``runs=P/M`` for a member there, ``short=P/M`` for what every stage takes besides its steps
(encoding, decoding; a share that is the larger the shorter the stage), ``wait=P`` for its queue. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rise_scheduler.composed.prior import Prior

if TYPE_CHECKING:
    from rise_scheduler.composed.knowledge import Observation

FLOOR = 0.05
"""Waits are compared with this share of the reference latency added (a wait of nothing is no news), and stages count as
short below it."""
LOG_CUT = 2.0
"""No measured latency counts as more than e^2 times the predicted, or less than e^-2."""
NOISE_SD = 0.2
"""The deviation of the logarithm of one stage's seconds, unlike all those before."""
PRIOR = Prior(precision=1.0, precisions={"pool": 0.2, "runs": 1.0, "short": 0.1, "wait": 0.5})
"""Squares of the noise's deviation over those that are believed possible: 0.45 for a pool, 0.2 for a member there."""

Told = tuple[Mapping[str, float], float, float]
"""Features, the logarithm of measured over predicted, and a weight."""


def stage_features(key: str, seconds: float, reference_s: float) -> dict[str, float]:
    """Those of a stage at ``pool/member`` that should take so many seconds."""
    pool = key.partition("/")[0]
    return {f"pool={pool}": 1.0, f"runs={key}": 1.0, f"short={key}": shortness(seconds, reference_s)}


def shortness(seconds: float, reference_s: float) -> float:
    """FLOOR of the reference latency over the seconds, at most 1."""
    return min(FLOOR * reference_s / seconds, 1.0) if seconds > 0 else 1.0


def wait_features(pool: str) -> dict[str, float]:
    """Those of the wait before a head at a pool."""
    return {f"pool={pool}": 1.0, f"wait={pool}": 1.0}


def told_by(seen: Observation) -> tuple[list[Told], float | None]:
    """What an outcome tells of logarithms, and of the rest: what neither stages nor waits explain, as a share of the
    reference latency (None where that cannot be told)."""
    predicted = [seconds for seconds in seen.predicted if seconds is not None and seconds > 0]
    if len(predicted) != len(seen.predicted):
        return [], None
    stages = [stage_features(key, seconds, seen.reference_s) for key, seconds in zip(seen.keys, predicted, strict=True)]
    whole = sum(predicted) + sum(seen.waits) + sum(seen.moves)
    if seen.failed or len(seen.seconds) != len(predicted):
        ratio = log_ratio(seen.latency_s, whole)
        # A job that failed took at least so long: news only where that is more than was expected.
        return ([] if seen.failed and ratio <= 0 else [_whole(stages, predicted, whole, ratio)]), None
    found: list[Told] = [
        (x, log_ratio(real, seconds), 1.0) for x, real, seconds in zip(stages, seen.seconds, predicted, strict=True)
    ]
    floor = FLOOR * seen.reference_s
    waited = seen.wait_s if seen.wait_s is not None else seen.waits[0]
    # A wait that is short beside the floor tells little of how waits stretch.
    weight = seen.waits[0] / (seen.waits[0] + floor)
    found.append((wait_features(seen.pool), log_ratio(waited + floor, seen.waits[0] + floor), weight))
    rest = seen.latency_s - waited - sum(seen.seconds) - sum(seen.moves) - sum(seen.waits[1:])
    return found, min(max(rest / seen.reference_s, -1.0), 1.0)


def _whole(stages: list[dict[str, float]], predicted: list[float], whole: float, ratio: float) -> Told:
    """One number for all stages: to first order each adds its share of the whole to the logarithm."""
    x: dict[str, float] = {}
    for features, seconds in zip(stages, predicted, strict=True):
        for name, value in features.items():
            x[name] = x.get(name, 0.0) + value * seconds / whole
    return x, ratio, 1.0


def log_ratio(real: float, predicted: float) -> float:
    """The logarithm of real over predicted seconds, cut."""
    return min(max(math.log(max(real, 1e-9) / max(predicted, 1e-9)), -LOG_CUT), LOG_CUT)
