"""The preconditioner: a network of any prediction type as ``model(x, level) -> clean and noise``, in any form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

from rise_stage.engine.levels import Form, Level
from rise_stage.engine.solvers import Prediction

Conditioning = TypeVar("Conditioning")
Network = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""(VP or flow latents (rows, C, H, W), timesteps (rows,), conditioning of the rows) -> output (rows, C, H, W)."""


@dataclass(frozen=True)
class Denoiser(Generic[Conditioning]):
    """A network with its conditioning bound.

    Attributes:
        network: see Network. With guidance it is given 2B rows: first the negative ones, then the positive ones.
        prediction: "epsilon", "v_prediction", "sample", or "flow_prediction" in flow form only.
        guidance: scale of classifier-free guidance; None for none, one forward pass per row.
    """

    network: Network[Conditioning]
    prediction: str
    conditioning: Conditioning
    guidance: float | None = None

    def __call__(self, x: Tensor, level: Level, timestep: Tensor, form: Form) -> Prediction:
        """Take x (B, C, H, W), which is at `level` in `form`, apart; `timestep` is (B,)."""
        rows, timesteps = self.rows(x, level, timestep, form)
        return self.prediction_from(x, level, form, self.network(rows, timesteps, self.conditioning))

    def rows(self, x: Tensor, level: Level, timestep: Tensor, form: Form) -> tuple[Tensor, Tensor]:
        """What the network is given for x: latents (rows, C, H, W) in its own form, and timesteps (rows,)."""
        rows, timesteps = (x, timestep) if self.guidance is None else (torch.cat([x] * 2), torch.cat([timestep] * 2))
        if form == "ve":
            rows = rows / ((level.sigma**2 + 1) ** 0.5)
        return rows, timesteps

    def prediction_from(self, x: Tensor, level: Level, form: Form, output: Tensor) -> Prediction:
        """What x is made of by the network's output (rows, C, H, W) for `rows(x, ...)`."""
        output = output.float()
        if self.guidance is not None:
            negative, positive = output.chunk(2)
            output = negative + self.guidance * (positive - negative)
        if form == "ve":
            return from_ve(self.prediction, x, output, level)
        return from_flow(x, output, level) if form == "flow" else from_vp(self.prediction, x, output, level)


def from_ve(prediction: str, x: Tensor, output: Tensor, level: Level) -> Prediction:
    """Clean latent and noise of x in VE form, as stock Euler takes them from a network's output."""
    sigma = level.sigma
    if prediction == "epsilon":
        clean = x - sigma * output
    elif prediction == "v_prediction":
        clean = output * (-sigma / (sigma**2 + 1) ** 0.5) + (x / (sigma**2 + 1))
    else:
        clean = output
    noise = (x - clean) / sigma
    return Prediction(clean, noise, noise)


def from_vp(prediction: str, x: Tensor, output: Tensor, level: Level) -> Prediction:
    """The same of x in VP form, as stock DDIM and DPM-Solver++ do."""
    alpha, spread = level.alpha, level.spread
    if prediction == "epsilon":
        clean, noise = (x - spread * output) / alpha, output
    elif prediction == "v_prediction":
        clean, noise = alpha * x - spread * output, alpha * output + spread * x
    else:
        clean, noise = output, (x - alpha * output) / spread
    return Prediction(clean, noise, noise)


def from_flow(x: Tensor, output: Tensor, level: Level) -> Prediction:
    """The same of x in flow form, where the network predicts noise - clean."""
    return Prediction(x - level.spread * output, x + level.alpha * output, output)
