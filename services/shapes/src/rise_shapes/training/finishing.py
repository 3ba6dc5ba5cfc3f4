"""What makes a small denoiser a finisher: the low noise levels alone, then the large one's own unfinished work.

The large denoiser takes a few coarse steps from pure noise, as a relay's head does, and then finishes the picture
itself in many fine steps. At every level on that way the finisher is asked for the end of it, so that it learns to go
there in few steps from where a coarse head leaves off (Luhman & Luhman 2021, arXiv 2101.02388, but from mid-way).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from tqdm import tqdm

from rise_shapes.training.data import LatentSet
from rise_shapes.training.denoisers import TRAIN_STEPS, Noise, OnText, WithText, half

HEAD_STEPS: Final = (1, 2, 3, 4, 5, 6, 8)
HANDOFFS: Final = (0.35, 0.6, 0.9, 1.3, 1.8, 2.5)
"""Noise levels at which the head leaves off."""
TAIL_STEPS: Final = 10
CHUNK: Final = 64


@dataclass(frozen=True)
class Unfinished:
    """The large denoiser's trajectories below a handoff.

    Attributes:
        points: (N, TAIL_STEPS, 4, 16, 16) float16, latents in the form x0 + sigma * noise.
        times: (N, TAIL_STEPS) int64, their time indices.
        ends: (N, 4, 16, 16) float16, the clean latents where the trajectories end.
        tokens: (N, T) int64.
    """

    points: torch.Tensor
    times: torch.Tensor
    ends: torch.Tensor
    tokens: torch.Tensor

    @classmethod
    def load(cls, file: Path) -> Unfinished:
        """Read what `save` wrote."""
        tensors: dict[str, torch.Tensor] = load_file(file)
        return cls(**tensors)

    def save(self, file: Path) -> None:
        """Write as safetensors."""
        save_file(vars(self), file)


def clean(model: torch.nn.Module, x: torch.Tensor, time: int, context: torch.Tensor, noise: Noise) -> torch.Tensor:
    """The clean latent that a model predicts for ``x`` = x0 + sigma * noise, (B, 4, 16, 16)."""
    alpha, sigma = noise.alphas[time], noise.sigmas[time]
    beta = alpha * sigma
    velocity: torch.Tensor = model(x * alpha, torch.full((len(x),), time), context, return_dict=False)[0]
    found: torch.Tensor = alpha * (x * alpha) - beta * velocity
    return found


def euler(
    model: torch.nn.Module, x: torch.Tensor, times: list[int], last: int | None, context: torch.Tensor, noise: Noise
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Euler steps (Karras et al. 2022, Algorithm 2) from each time to the next, and to ``last`` (None: sigma 0)."""
    passed = []
    for now, then in zip(times, [*times[1:], last], strict=True):
        passed.append(x)
        target = noise.sigmas[then] if then is not None else torch.tensor(0.0)
        denoised = clean(model, x, now, context, noise)
        x = denoised + target / noise.sigmas[now] * (x - denoised)
    return x, passed


@torch.inference_mode()
def half_done(large: WithText, data: LatentSet, count: int, seed: int, *, quiet: bool = False) -> Unfinished:
    """Let the large denoiser begin coarsely and finish finely, ``count`` times, for prompts of the training set."""
    noise, generator = Noise(), torch.Generator().manual_seed(seed)
    parts: list[Unfinished] = []
    for index in tqdm(range(-(-count // CHUNK)), desc="half-done latents", disable=quiet):
        _, tokens = data.batch(CHUNK, generator)
        context = large.text(tokens).last_hidden_state
        steps = HEAD_STEPS[index % len(HEAD_STEPS)]
        handoff = nearest(noise, HANDOFFS[(index // len(HEAD_STEPS)) % len(HANDOFFS)])
        x = torch.randn((CHUNK, 4, 16, 16), generator=generator) * noise.sigmas[-1]
        x, _ = euler(large.unet, x, _spread(TRAIN_STEPS - 1, handoff, steps), handoff, context, noise)
        times = _spread(handoff, 0, TAIL_STEPS)
        end, passed = euler(large.unet, x, times, None, context, noise)
        parts.append(
            Unfinished(
                torch.stack(passed, 1).half(), torch.tensor(times).expand(CHUNK, -1).clone(), end.half(), tokens.clone()
            )
        )
    return Unfinished(*(torch.cat([getattr(p, name) for p in parts]) for name in ("points", "times", "ends", "tokens")))


def nearest(noise: Noise, sigma: float) -> int:
    """The time index whose noise level is nearest."""
    return int((noise.sigmas.log() - torch.tensor(sigma).log()).abs().argmin())


def _spread(first: int, last: int, steps: int) -> list[int]:
    """``steps`` times from ``first`` on, evenly towards ``last``, which is left out."""
    return [round(first + (last - first) * i / steps) for i in range(steps)]


def distil_loss(
    finisher: UNet2DConditionModel,
    large: WithText,
    data: LatentSet,
    unfinished: Unfinished,
    noise: Noise,
    batch: int,
    generator: torch.Generator,
) -> dict[str, torch.Tensor]:
    """Half of the rows on the large one's way, a quarter on its pictures noised anew, a quarter on true scenes."""
    quarter = batch // 4
    rows = torch.randint(len(unfinished.ends), (3 * quarter,), generator=generator)
    ends, tokens = unfinished.ends[rows].float(), unfinished.tokens[rows]
    real, real_tokens = data.batch(quarter, generator)
    point = torch.randint(TAIL_STEPS, (2 * quarter,), generator=generator)
    on_way = unfinished.points[rows[: 2 * quarter], point].float()
    times = torch.cat([unfinished.times[rows[: 2 * quarter], point], noise.draw(2 * quarter, generator)])
    x0 = torch.cat([ends, real])
    alpha, sigma = (values[times].view(-1, 1, 1, 1) for values in (noise.alphas, noise.sigmas))
    anew = x0[2 * quarter :]
    anew = anew + sigma[2 * quarter :] * torch.randn(anew.shape, generator=generator)
    x = torch.cat([on_way, anew]) * alpha
    velocity = (alpha * x - x0) / (alpha * sigma)
    with half("cpu"):
        predicted = OnText(finisher, large.text)(x, times, torch.cat([tokens, real_tokens]))
    errors = F.mse_loss(predicted.float(), velocity, reduction="none").mean((1, 2, 3))
    return {"way": errors[: 2 * quarter].sum() / batch, "noised": errors[2 * quarter :].sum() / batch}
