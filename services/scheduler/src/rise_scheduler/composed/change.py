"""A member's quality that drops (or rises) without a word: a two-sided CUSUM per member (Page, 1954).

low <- max(0, low - r - k),  high <- max(0, high + r - k),  r = (measured - expected) / deviation;  alarm above h
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from rise_scheduler.composed.evidence import Level

NOISE_SD, NOISE_WEIGHT = 0.2, 20.0
"""What is taken for the deviation of a judge's word before it is measured, between that of a scale and that of right or
wrong, and how many measurements that is worth."""


class Limits(Protocol):
    """CUSUM's k and h, in deviations."""

    @property
    def drift_slack(self) -> float: ...
    @property
    def drift_alarm(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Drift:
    """The two sums of one member, and how often they gave alarm."""

    low: float = 0.0
    high: float = 0.0
    alarms: int = 0


def noise_variance(noise: Level) -> float:
    """The variance of a judge's word around what was expected; ``noise`` holds the squares of residuals."""
    return (noise.total + NOISE_WEIGHT * NOISE_SD**2) / (noise.n + NOISE_WEIGHT)


def watched(
    drifts: Mapping[str, Drift], members: Sequence[str], residual: float, noise: Level, limits: Limits
) -> tuple[dict[str, Drift], list[str]]:
    """The sums after a ``residual`` of a picture that ``members`` made, and those whose quality has changed (their sums
    begin anew)."""
    scaled = residual / noise_variance(noise) ** 0.5
    after, changed = dict(drifts), []
    for member in dict.fromkeys(members):
        old = drifts.get(member, Drift())
        low = max(0.0, old.low - scaled - limits.drift_slack)
        high = max(0.0, old.high + scaled - limits.drift_slack)
        if max(low, high) > limits.drift_alarm:
            changed.append(member)
            after[member] = Drift(alarms=old.alarms + 1)
        else:
            after[member] = Drift(low, high, old.alarms)
    return after, changed
