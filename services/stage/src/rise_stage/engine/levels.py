"""Noise levels as the arithmetic needs them, and the forms of a latent.

VE form is x0 + sigma * noise. VP form, in which DDIM, DPM-Solver++ and UniPC are written, is
alpha * x0 + spread * noise with alpha^2 + spread^2 = 1 and sigma = spread / alpha. Flow
form, the one of models trained on flow matching, has alpha + spread = 1. A latent between two stages is in VE form.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from rise_contracts.model import Solver
from rise_stage.engine.flow import to_s

Form = Literal["ve", "vp", "flow"]
FORMS: dict[Solver, Form] = {"euler": "ve", "heun": "ve", "ddim": "vp", "dpmpp_2m": "vp", "unipc": "vp"}
"""The form that a solver's own arithmetic is in, as in the stock schedulers. On a flow it is that of the flow."""


class Level(NamedTuple):
    """One noise level: 0-dim float32 tensors, or (B, 1, 1, 1) where each row is at its own.

    `time` is what the slope of Euler's and Heun's methods is by: sigma in VE form, s on a flow.
    """

    sigma: Tensor
    alpha: Tensor
    spread: Tensor
    time: Tensor


def level_of(sigma: Tensor) -> Level:
    """The level at `sigma`, in the order of operations of stock DPM-Solver++."""
    alpha = 1 / ((sigma**2 + 1) ** 0.5)
    return Level(sigma, alpha, sigma * alpha, sigma)


def level_of_alpha_bar(sigma: Tensor, alpha_bar: Tensor) -> Level:
    """The same from the cumulative product of alphas, as stock DDIM has it; it may differ in the last bit."""
    return Level(sigma, alpha_bar**0.5, (1 - alpha_bar) ** 0.5, sigma)


def flow_level(sigma: float) -> Level:
    """The level at `sigma` of a flow."""
    s = torch.tensor(to_s(sigma), dtype=torch.float32)
    return Level(torch.tensor(sigma, dtype=torch.float32), 1.0 - s, s, s)


def level_at(time: Tensor, form: Form) -> Level:
    """The level whose `Level.time` is known, in the order of operations of the stock multistep schedulers."""
    if form != "flow":
        return level_of(time)
    alpha = 1 - time
    return Level(time / alpha, alpha, time, time)


def to_ve(x: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """A VP or flow latent in VE form, and what rounding took: the float32 steps (int8) from its way back to `x`."""
    scaled = x / alpha
    lost = _bits(x) - _bits(scaled * alpha)
    return scaled, lost.to(torch.int8)


def from_ve(x: Tensor, alpha: Tensor, lost: Tensor | None = None) -> Tensor:
    """A VE latent in VP or flow form; with `lost`, bit for bit the one that `to_ve` was given."""
    scaled = x * alpha
    return scaled if lost is None else (_bits(scaled) + lost.to(scaled.device)).view(torch.float32)


def _bits(x: Tensor) -> Tensor:
    """Neighbouring float32 numbers of one sign are neighbouring integers."""
    return x.contiguous().view(torch.int32)
