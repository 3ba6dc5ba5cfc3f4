"""Solvers: pure steps over explicit noise levels, in the form and the order of operations of the stock schedulers."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rise_contracts.model import Solver
from rise_stage.engine.levels import Level, level_of


class Prediction(NamedTuple):
    """What a denoiser makes of a latent: it is clean + noise at the latent's level. Both (B, C, H, W)."""

    clean: Tensor
    noise: Tensor


class Past(NamedTuple):
    """What a multistep solver remembers of the step before: all of its state."""

    clean: Tensor
    sigma: Tensor


def step(
    solver: Solver, x: Tensor, predicted: Prediction, at: Level, to: Level, past: Past | None, last: bool
) -> Tensor:
    """One step of `solver`. `last` asks multistep solvers for first order."""
    if solver == "euler":
        return euler(x, predicted, at, to)
    if solver == "ddim":
        return ddim(predicted, to)
    return dpmpp_2m(x, predicted.clean, at, to, None if last else past)


def euler(x: Tensor, predicted: Prediction, at: Level, to: Level) -> Tensor:
    """Euler's method on the probability flow, VE form (Karras et al. 2022, algorithm 1): the slope is the noise."""
    return x + predicted.noise * (to.sigma - at.sigma)


def ddim(predicted: Prediction, to: Level) -> Tensor:
    """DDIM with eta 0, VP form (Song et al. 2021, equation 12)."""
    return to.alpha * predicted.clean + to.spread * predicted.noise


def dpmpp_2m(x: Tensor, clean: Tensor, at: Level, to: Level, past: Past | None) -> Tensor:
    """DPM-Solver++ 2M, midpoint, VP form (Lu et al. 2022, algorithm 2); first order where there is no past."""
    h = _lambda(to) - _lambda(at)
    kept = (to.spread / at.spread) * x
    gain = to.alpha * (torch.exp(-h) - 1.0)
    if past is None:
        return kept - gain * clean
    r0 = (_lambda(at) - _lambda(level_of(past.sigma))) / h
    slope = (1.0 / r0) * (clean - past.clean)
    return kept - gain * clean - 0.5 * gain * slope


def _lambda(level: Level) -> Tensor:
    """Half the log signal-to-noise ratio."""
    return torch.log(level.alpha) - torch.log(level.spread)
