"""Disjoint LinUCB (Li, Chu, Langford and Schapire, 2010, algorithm 1) over additive sums, solved by Cholesky in
float64.

For arm a:  A = ridge I + sum x x^T,  theta = A^-1 b,  score = theta . x + alpha sqrt(x^T A^-1 x). No inverse is
stored and none is updated in place: a rank-one (Sherman-Morrison) update drifts, and with forgetting it stops being
positive definite. All arms are solved in one batched call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rise_scheduler.posterior import Array, Posterior


class ArmScore(NamedTuple):
    """The view of one arm: mean reward, its standard width (before alpha) and the optimistic score that ranks it; and,
    of a policy that thinks in these, the quality and latency expected, and the price charged."""

    arm: str
    mean: float
    width: float
    score: float
    quality: float | None = None
    latency_s: float | None = None
    price: float | None = None


def score_arms(posterior: Posterior, arms: Sequence[str], x: Array, *, alpha: float, ridge: float) -> list[ArmScore]:
    """Score ``arms`` for the context ``x`` (d,). Deterministic; the order of the answer is the order of ``arms``."""
    if not arms:
        return []
    dim = x.shape[0]
    sums = [posterior.arm(name) for name in arms]
    a = np.stack([item.xtx for item in sums]) + ridge * np.eye(dim)
    b = np.stack([item.rx for item in sums])
    lower = np.linalg.cholesky(a)
    # One pair of triangular systems for theta, one for the width: A = L L^T, width = |L^-1 x|.
    half = np.linalg.solve(lower, np.stack([b, np.broadcast_to(x, b.shape)], axis=-1))
    theta = np.linalg.solve(np.swapaxes(lower, -1, -2), half[..., :1])[..., 0]
    means = theta @ x
    widths = np.linalg.norm(half[..., 1], axis=-1)
    return [
        ArmScore(name, float(mean), float(width), float(mean + alpha * width))
        for name, mean, width in zip(arms, means, widths, strict=True)
    ]
