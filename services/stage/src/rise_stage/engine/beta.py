"""Quantiles of the beta distribution that the beta spacing of noise levels goes by (Lee et al. 2024).

The stock schedulers ask scipy for them. A stage is not to carry scipy for one function of one number.
"""

from __future__ import annotations

import math

SHAPE = 0.6
"""Both parameters of the distribution, as in the stock schedulers: many steps at both ends, few between."""
_TERMS = 64
"""Of a series whose terms halve at least: more than double precision has bits."""
_NORM = math.gamma(2 * SHAPE) / math.gamma(SHAPE) ** 2


def beta_level(low: float, high: float, share: float) -> float:
    """The level between `low` and `high` that `share` (0 to 1) of the steps of a beta spacing lie below."""
    return low + beta_quantile(share) * (high - low)


def beta_quantile(share: float) -> float:
    """The x in [0, 1] below which `share` of Beta(SHAPE, SHAPE) lies."""
    if share > 0.5:
        return 1.0 - beta_quantile(1.0 - share)
    if share <= 0:
        return 0.0
    low, high = 0.0, 0.5
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if _below(middle) < share else (low, middle)
    return high


def _below(x: float) -> float:
    """How much of the distribution lies below x <= 1/2: the power series of the incomplete beta function in x."""
    total, term = 0.0, 1.0
    for n in range(_TERMS):
        total += term / (SHAPE + n)
        term *= (n + 1 - SHAPE) * x / (n + 1)
    return math.pow(x, SHAPE) * total * _NORM
