"""The noise levels of flow matching: a latent is (1 - s) * x0 + s * noise, and s = sigma / (1 + sigma).

Pure. Pure noise is s = 1, where sigma is infinite. A position is, as in `schedules`, the training timestep before any
shift: shifting is what a family does to spend more of its steps on noisy levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np


def to_s(sigma: float) -> float:
    """The flow's own level of sigma, as float32: the way back from `to_sigma` is exact."""
    return 1.0 if math.isinf(sigma) else float(np.float32(sigma / (1.0 + sigma)))


def to_sigma(s: float) -> float:
    return math.inf if s >= 1 else s / (1.0 - s)


@dataclass(frozen=True)
class FlowSchedule:
    """The noise levels of a family trained on flow matching (Esser et al. 2024, section 3 and equation 23).

    Attributes:
        shift: t becomes shift * t / (1 + (shift - 1) * t); 1 is none.
        lowest: the t before the shift at which stock grids make their last step, to the clean end.
        timesteps: of training; the denoiser is told s times as much.
        top: the s from which runs begin.
    """

    shift: float
    lowest: float
    timesteps: int = 1000
    top: float = 1.0

    flow: ClassVar[bool] = True

    @property
    def sigma_min(self) -> float:
        return self.sigma(self.floor)

    @property
    def sigma_max(self) -> float:
        return to_sigma(self.top)

    @property
    def floor(self) -> float:
        return self.timesteps * self.lowest - 1.0

    def position(self, sigma: float) -> float:
        s = to_s(sigma)
        return self.timesteps * s / (self.shift - (self.shift - 1.0) * s) - 1.0

    def sigma(self, position: float) -> float:
        return to_sigma(self.shifted(min(1.0, max(0.0, (position + 1.0) / self.timesteps))))

    def shifted(self, t: float) -> float:
        """The level s of t, which is 0 to 1."""
        return self.shift * t / (1.0 + (self.shift - 1.0) * t)

    def timestep(self, sigma: float) -> float:
        return float(np.float32(to_s(sigma)) * np.float32(self.timesteps))

    def snap(self, sigma: float) -> float:
        return to_sigma(to_s(sigma))

    def measure(self, sigma: float) -> float:
        return to_s(sigma)

    def measured(self, value: float) -> float:
        return to_sigma(value)
