"""The scalar reward of the paper's manner: w * quality - (1 - w) * 0.5 * min(T / T_ref, 2), with w the user's
preference.

Quality is 0..1, so the reward lies in [-1, 1]. The cap keeps one stuck job from outweighing hundreds of good ones.
"""

from __future__ import annotations

import math

LATENCY_CAP = 2.0


def reward(quality: float, latency_s: float, *, preference: float, reference_s: float) -> float:
    """The reward of a finished job. ``reference_s`` (> 0) is the latency that costs half of the speed weight.

    Raises ``ValueError`` for a value that is not finite or a reference that is not positive: such a number would
    poison the sums.
    """
    values = (quality, latency_s, preference, reference_s)
    if not all(math.isfinite(value) for value in values) or reference_s <= 0 or latency_s < 0:
        raise ValueError(f"reward needs finite numbers and a positive reference: got {values}")
    slowness = min(latency_s / reference_s, LATENCY_CAP)
    return preference * quality - (1.0 - preference) * 0.5 * slowness


def failed_reward(*, preference: float) -> float:
    """The reward of a job that ended without a picture: no quality, and as slow as the scale goes."""
    return -(1.0 - preference) * 0.5 * LATENCY_CAP
