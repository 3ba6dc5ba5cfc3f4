"""The scalar reward of the paper's manner: the utility of the job (``rise_contracts.utility``), with a guard."""

from __future__ import annotations

import math

from rise_contracts.utility import LATENCY_CAP, failed_utility, utility

__all__ = ["LATENCY_CAP", "failed_reward", "reward"]


def reward(quality: float, latency_s: float, *, preference: float, reference_s: float) -> float:
    """The reward of a finished job.

    Raises ``ValueError`` for a value that is not finite or a reference that is not positive: such a number would
    poison the sums.
    """
    values = (quality, latency_s, preference, reference_s)
    if not all(math.isfinite(value) for value in values) or reference_s <= 0 or latency_s < 0:
        raise ValueError(f"reward needs finite numbers and a positive reference: got {values}")
    return utility(quality, latency_s, preference=preference, reference_s=reference_s)


failed_reward = failed_utility
