"""What the stage's unit tests are made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from rise_stage.engine.latents import Expected, Latent, Origin
from rise_stage.engine.schedules import NoiseSchedule

CONFIG = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
}


def scaled_linear() -> NoiseSchedule:
    """Stable Diffusion's noise levels, by their definition and in double precision."""
    sigmas, product = [], 1.0
    for index in range(1000):
        root = 0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * index / 999
        product *= 1 - root * root
        sigmas.append(math.sqrt((1 - product) / product))
    return NoiseSchedule(tuple(sigmas))


SCHEDULE = scaled_linear()
SHAPE = (2, 4, 8, 8)
CONTRACT = "a" * 64
ORIGIN = Origin("job-1", 1, 0)


def noise(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def latent(sigma: float = 1.5, seed: int = 0) -> Latent:
    return Latent(noise(seed) * sigma, sigma)


def expected(**changes: object) -> Expected:
    wanted: dict[str, object] = {
        "origin": ORIGIN,
        "family": "tiny",
        "latent_contract": CONTRACT,
        "shape": SHAPE,
        "dtype": "fp32",
        "solver": "euler",
        "sigma": 1.5,
        "sigma_max": 14.6,
    }
    return Expected(**{**wanted, **changes})  # type: ignore[arg-type]
