"""Training scenes: drawn from a seed, rendered, captioned, encoded once to latents and kept in memory."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray

from rise_shapes.grammar import caption, loosen
from rise_shapes.render import render
from rise_shapes.scene import Placed, draw_scene


def scenes(seed: int, count: int, *, held_out: bool = False) -> list[Placed]:
    """``count`` scenes, the same for the same seed."""
    rng = random.Random(seed)
    return [draw_scene(rng, held_out=held_out) for _ in range(count)]


def captions(placed: list[Placed], seed: int) -> list[str]:
    """One caption per scene, some of them leaving things open as a user would."""
    rng = random.Random(seed)
    return [caption(loosen(item.scene, rng)) for item in placed]


def pixels(pictures: list[NDArray[np.uint8]]) -> torch.Tensor:
    """(N, 3, 64, 64) float32 in -1..1."""
    stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    return stacked.float().div_(127.5).sub_(1.0)


@dataclass(frozen=True)
class LatentSet:
    """Scenes as denoisers see them: scaled latents (N, 4, 16, 16), token ids (N, T), the empty prompt's ids (T,)."""

    latents: torch.Tensor
    tokens: torch.Tensor
    blank: torch.Tensor

    def batch(self, size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """A random batch: latents and token ids."""
        rows = torch.randint(len(self.latents), (size,), generator=generator)
        return self.latents[rows].float(), self.tokens[rows]


@torch.inference_mode()
def encode_scenes(vae: AutoencoderKL, placed: list[Placed], batch: int = 128) -> torch.Tensor:
    """Posterior means of the rendered scenes, scaled to unit variance, as float16."""
    parts = []
    for start in range(0, len(placed), batch):
        x = pixels([render(item) for item in placed[start : start + batch]])
        mean = vae.encode(x.to(vae.device)).latent_dist.mode()
        parts.append((mean * vae.config.scaling_factor).half().cpu())
    return torch.cat(parts).contiguous()
