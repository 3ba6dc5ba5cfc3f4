"""What changes in the course of a run without anybody being told, as shares of the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from rise_scheduler.arm import Arm

Span = tuple[float, float]


@dataclass(frozen=True)
class Shifts:
    """Each span is (from, to) in shares of the jobs; the factors are of seconds, in truth over what is announced."""

    edge_slower: Span = (900 / 3200, 1700 / 3200)
    edge: tuple[float, float] = (1.15, 2.1)
    device_slower: Span = (1400 / 3200, 2300 / 3200)
    device: tuple[float, float] = (1.25, 2.0)
    network: Span = (1900 / 3200, 1.0)
    member_gone: Span = (2100 / 3200, 2350 / 3200)
    devices_away: Span = (2700 / 3200, 2900 / 3200)
    quality_drop: Span = (2500 / 3200, 1.0)
    drop: float = 0.16

    def within(self, span: Span, count: int) -> np.ndarray:
        """Whether each job lies in ``span``, (count,) bool."""
        index = np.arange(count)
        return (index >= round(span[0] * count)) & (index < round(span[1] * count))

    def factor(self, tier: str, count: int) -> np.ndarray:
        """The hidden factor of a tier's seconds for each job, (count,)."""
        usual, slower = self.edge if tier == "edge" else self.device
        span = self.edge_slower if tier == "edge" else self.device_slower
        return np.where(self.within(span, count), slower, usual)

    def available(self, arms: Sequence[Arm], gone: str, count: int) -> np.ndarray:
        """Whether each arm can run, (count, arms) bool: ``gone`` is the member that leaves and comes back."""
        needs = np.array([[any(part.member == gone for part in arm.parts) for arm in arms]])
        device = np.array([[any(part.tier == "device" for part in arm.parts) for arm in arms]])
        missing = self.within(self.member_gone, count)[:, None] & needs
        away = self.within(self.devices_away, count)[:, None] & device
        found: np.ndarray = ~(missing | away)
        return found

    def phases(self) -> dict[str, Span]:
        """By name, the spans that regret is also told of; ``calm`` is what comes before the first shift."""
        return {
            "calm": (0.0, self.edge_slower[0]),
            "edge": self.edge_slower,
            "device": self.device_slower,
            "network": (self.network[0], self.devices_away[0]),
            "gone": self.member_gone,
            "away": self.devices_away,
            "quality": self.quality_drop,
        }


@dataclass(frozen=True)
class Options:
    """The conditions of a run, and the table of sensitivity."""

    jobs: int = 3200
    scored: float = 0.6
    delay_jobs: float = 25.0
    scorer_sd: float = 0.1
    edge_profile: float = 1.0
    device_profile: float = 1.0
    prior_prompts: int = 20
    shifts: Shifts = field(default_factory=Shifts)
    """``edge_profile`` and ``device_profile`` multiply the seconds that are announced: 1 is right but for the hidden
    factors, 2.2 and 0.6 is the wrong profile."""
