"""Noise levels: the schedule a family was trained on, and the grids of sigmas that a stage walks down.

Pure. Sigma is in VE convention (x = x0 + sigma * noise). A position is a training timestep, fractional between
two of them; position -1 is the clean end, sigma 0, so that the spacings of the stock schedulers carry over to a
grid that starts anywhere.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from rise_contracts.errors import InvalidInput
from rise_stage.engine.beta import beta_level

Spacing = Literal["trailing", "linspace", "leading", "karras", "logsnr", "beta"]

KARRAS_RHO = 7.0
SIGMA_TOLERANCE = 1e-5
"""Relative difference up to which two noise levels are the same one, told by two processes."""


class Schedule(Protocol):
    """The noise levels of training, of whichever kind.

    Attributes:
        flow: whether latents are (1 - s) * x0 + s * noise; see `flow`.
        floor: the position from which stock grids make their last step to the clean end.
    """

    flow: ClassVar[bool]

    @property
    def floor(self) -> float: ...

    @property
    def sigma_min(self) -> float: ...

    @property
    def sigma_max(self) -> float: ...

    def position(self, sigma: float) -> float:
        """Where sigma lies among the training timesteps: in [-1, T-1]."""
        ...

    def sigma(self, position: float) -> float:
        """The inverse of `position`."""
        ...

    def timestep(self, sigma: float) -> float:
        """What a denoiser is told for sigma."""
        ...

    def snap(self, sigma: float) -> float:
        """The level nearest to sigma that float32 arithmetic has, so that every process computes with the same one."""
        ...

    def measure(self, sigma: float) -> float:
        """Sigma in the terms that the Karras and the exponential spacing of the stock scheduler are even in."""
        ...

    def measured(self, value: float) -> float:
        """The inverse of `measure`."""
        ...


@dataclass(frozen=True)
class NoiseSchedule:
    """The noise levels of training on a variance-preserving diffusion.

    Attributes:
        sigmas: shape (T,), rising, of the timesteps 0 … T-1.
    """

    sigmas: tuple[float, ...]

    flow: ClassVar[bool] = False

    @property
    def floor(self) -> float:
        return 0.0

    @property
    def sigma_min(self) -> float:
        return self.sigmas[0]

    @property
    def sigma_max(self) -> float:
        return self.sigmas[-1]

    def position(self, sigma: float) -> float:
        """Where sigma lies among the training timesteps: in [-1, T-1], linear in log sigma between two of them.

        Below the first training level it falls linearly to -1 at sigma 0.
        """
        if sigma <= self.sigma_min:
            return sigma / self.sigma_min - 1.0
        return float(np.interp(math.log(sigma), self._logs, np.arange(len(self.sigmas))))

    def sigma(self, position: float) -> float:
        """The inverse of `position`."""
        if position <= 0:
            return max(0.0, self.sigma_min * (1.0 + position))
        return math.exp(float(np.interp(position, np.arange(len(self.sigmas)), self._logs)))

    def timestep(self, sigma: float) -> float:
        """What a denoiser is told for sigma: its position, not below the first training timestep."""
        return max(0.0, self.position(sigma))

    def snap(self, sigma: float) -> float:
        return as_float32(sigma)

    def measure(self, sigma: float) -> float:
        return sigma

    def measured(self, value: float) -> float:
        return value

    @property
    def _logs(self) -> NDArray[np.float64]:
        return np.log(np.asarray(self.sigmas, dtype=np.float64))


@dataclass(frozen=True)
class Grid:
    """The steps of one run: step i goes from ``sigmas[i]`` to ``targets[i]``.

    Attributes:
        sigmas: n + 1 levels, falling, each as `Schedule.snap` leaves it.
        timesteps: n; what the denoiser is told at ``sigmas[i]``.
        targets: n; where step i lands. It is ``sigmas[i + 1]``, except on stock DDIM grids that do not meet
            themselves (see `stock`): there the latent, in VP form, is taken for one at ``sigmas[i + 1]``.
        start_scale: what unit noise is multiplied with to be the first latent in the solver's own form.
        first_order_end: whether a solver of higher order makes its last step at first order.
        end_timestep: what the denoiser is told at the end, for solvers that ask it there.
        flow: whether the levels are those of a flow; see `Schedule`.
        alpha_bars, target_alpha_bars: cumulative alphas at `sigmas` and `targets`, where the grid is made of them.
    """

    sigmas: tuple[float, ...]
    timesteps: tuple[float, ...]
    targets: tuple[float, ...]
    start_scale: float = 1.0
    first_order_end: bool = True
    end_timestep: float = 0.0
    flow: bool = False
    alpha_bars: tuple[float, ...] | None = None
    target_alpha_bars: tuple[float, ...] | None = None

    @property
    def steps(self) -> int:
        return len(self.timesteps)

    @property
    def start(self) -> float:
        return self.sigmas[0]

    @property
    def end(self) -> float:
        return self.sigmas[-1]

    def part(self, first: int, last: int) -> Self:
        """Steps `first` … `last` - 1 as a grid: running the parts in order is running the whole."""
        whole = last == self.steps
        return replace(
            self,
            sigmas=self.sigmas[first : last + 1],
            timesteps=self.timesteps[first:last],
            targets=self.targets[first:last],
            first_order_end=self.first_order_end and whole,
            end_timestep=self.end_timestep if whole else self.timesteps[last],
            alpha_bars=self.alpha_bars and self.alpha_bars[first : last + 1],
            target_alpha_bars=self.target_alpha_bars and self.target_alpha_bars[first:last],
        )


def build_grid(
    schedule: Schedule,
    kind: Spacing,
    steps: int,
    sigma_from: float | None,
    sigma_to: float,
    start_scale: float = 1.0,
) -> Grid:
    """A grid of `steps` steps from exactly `sigma_from` (None: the top of the schedule) to exactly `sigma_to`."""
    top = schedule.snap(schedule.sigma_max if sigma_from is None else sigma_from)
    bottom = schedule.snap(sigma_to)
    if not 0 <= bottom < top:
        raise InvalidInput("sigma", f"a stage that goes down, from {top:g} to less", sigma_to)
    if steps < 1:
        raise InvalidInput("steps", "at least 1", steps)
    inner = _SPACINGS[kind](schedule, top, bottom, steps)
    sigmas = (top, *(schedule.snap(sigma) for sigma in inner), bottom)
    if any(later >= earlier for earlier, later in itertools.pairwise(sigmas)):
        raise InvalidInput("steps", f"steps that can be told apart between sigma {top:g} and {bottom:g}", steps)
    return from_sigmas(schedule, sigmas, start_scale)


def from_sigmas(schedule: Schedule, sigmas: tuple[float, ...], start_scale: float = 1.0) -> Grid:
    """The grid through the given falling sigmas."""
    *timesteps, end = (as_float32(schedule.timestep(sigma)) for sigma in sigmas)
    return Grid(
        sigmas=sigmas,
        timesteps=tuple(timesteps),
        targets=sigmas[1:],
        start_scale=start_scale,
        first_order_end=sigmas[-1] == 0,
        end_timestep=end,
        flow=schedule.flow,
    )


def same_sigma(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SIGMA_TOLERANCE, abs_tol=0.0)


def as_float32(value: float) -> float:
    """The float32 nearest to value: sigmas on the wire are float64, all arithmetic on them is float32."""
    return float(np.float32(value))


def _trailing(schedule: Schedule, top: float, bottom: float, steps: int) -> list[float]:
    """Even in position down to the position of `bottom`, which is -1 at the clean end (Lin et al. 2023, table 2)."""
    start, end = schedule.position(top), schedule.position(bottom)
    return [schedule.sigma(start + (end - start) * i / steps) for i in range(1, steps)]


def _linspace(schedule: Schedule, top: float, bottom: float, steps: int) -> list[float]:
    """Even in position; a grid to the clean end has its last point at timestep 0."""
    if bottom > 0 or schedule.position(top) <= schedule.floor:
        return _trailing(schedule, top, bottom, steps)
    start, end = schedule.position(top), schedule.floor
    return [schedule.sigma(start + (end - start) * i / max(1, steps - 1)) for i in range(1, steps)]


def _leading(schedule: Schedule, top: float, bottom: float, steps: int) -> list[float]:
    """Even in position; a grid to the clean end leaves its last step as long as the others, down to timestep 0."""
    if bottom > 0 or schedule.position(top) <= schedule.floor:
        return _trailing(schedule, top, bottom, steps)
    start, end = schedule.position(top), schedule.floor
    return [schedule.sigma(start + (end - start) * i / steps) for i in range(1, steps)]


def _karras(schedule: Schedule, top: float, bottom: float, steps: int) -> list[float]:
    """Even in sigma ** (1 / rho) (Karras et al. 2022, equation 5); the clean end is one more step below sigma_min."""
    high = schedule.measure(top) ** (1 / KARRAS_RHO)
    low, count = _lowest(schedule, top, bottom, steps)
    roots = [high + (low ** (1 / KARRAS_RHO) - high) * i / count for i in range(1, steps)]
    return [schedule.measured(root**KARRAS_RHO) for root in roots]


def _logsnr(schedule: Schedule, top: float, bottom: float, steps: int) -> list[float]:
    """Even in log sigma (of a flow in log s, as the stock scheduler has it); the clean end as in `_karras`."""
    high = math.log(schedule.measure(top))
    low, count = _lowest(schedule, top, bottom, steps)
    return [schedule.measured(math.exp(high + (math.log(low) - high) * i / count)) for i in range(1, steps)]


def _beta(schedule: Schedule, top: float, bottom: float, steps: int) -> list[float]:
    """By the quantiles of a beta distribution over sigma (Lee et al. 2024); the clean end as in `_karras`."""
    high = schedule.measure(top)
    low, count = _lowest(schedule, top, bottom, steps)
    return [schedule.measured(beta_level(low, high, 1 - i / count)) for i in range(1, steps)]


def _lowest(schedule: Schedule, top: float, bottom: float, steps: int) -> tuple[float, int]:
    """The lowest level above 0 of a grid, measured, and the number of its steps down to there."""
    if bottom > 0:
        return schedule.measure(bottom), steps
    return min(schedule.measure(schedule.sigma_min), schedule.measure(top) / 2), max(1, steps - 1)


_SPACINGS = {
    "trailing": _trailing,
    "linspace": _linspace,
    "leading": _leading,
    "karras": _karras,
    "logsnr": _logsnr,
    "beta": _beta,
}
