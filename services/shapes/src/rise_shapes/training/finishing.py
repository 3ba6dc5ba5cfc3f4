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
from diffusers import PixArtTransformer2DModel
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from tqdm import tqdm

from rise_shapes.training.data import LatentSet
from rise_shapes.training.denoisers import TRAIN_STEPS, Noise, WithText, half, velocity
from rise_shapes.training.text import read

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


@dataclass(frozen=True)
class Guided:
    """A denoiser bound to prompts, with classifier-free guidance where ``scale`` is above 1.

    Attributes:
        hidden: (2B, T, WIDTH), those of the empty prompt first; (B, T, WIDTH) without guidance.
        mask: (2B, T) or (B, T).
    """

    network: PixArtTransformer2DModel
    hidden: torch.Tensor
    mask: torch.Tensor
    scale: float

    @classmethod
    def of(cls, model: WithText, tokens: torch.Tensor, blank: torch.Tensor, scale: float) -> Guided:
        """Bind ``model`` to prompts (B, T)."""
        both = tokens if scale <= 1 else torch.cat([blank.expand_as(tokens), tokens])
        return cls(model.network, *read(model.text, both), scale)

    def velocity(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        """Predicted velocity of variance-preserving latents (B, 4, 16, 16) at times (B,)."""
        if self.scale <= 1:
            return velocity(self.network, x, t, self.hidden, self.mask).float()
        both = velocity(self.network, torch.cat([x, x]), torch.cat([t, t]), self.hidden, self.mask)
        against, towards = both.float().chunk(2)
        return against + self.scale * (towards - against)


def clean(model: Guided, x: torch.Tensor, time: int, noise: Noise) -> torch.Tensor:
    """The clean latent that a model predicts for ``x`` = x0 + sigma * noise, (B, 4, 16, 16)."""
    alpha, sigma = noise.alphas[time], noise.sigmas[time]
    found: torch.Tensor = alpha * (x * alpha) - alpha * sigma * model.velocity(x * alpha, torch.full((len(x),), time))
    return found


def euler(
    model: Guided, x: torch.Tensor, times: list[int], last: int | None, noise: Noise
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Euler steps (Karras et al. 2022, Algorithm 2) from each time to the next, and to ``last`` (None: sigma 0)."""
    passed = []
    for now, then in zip(times, [*times[1:], last], strict=True):
        passed.append(x)
        target = noise.sigmas[then] if then is not None else torch.tensor(0.0)
        denoised = clean(model, x, now, noise)
        x = denoised + target / noise.sigmas[now] * (x - denoised)
    return x, passed


@torch.inference_mode()
def half_done(
    large: WithText, data: LatentSet, batches: range, seed: int, guidance: float, *, quiet: bool = False
) -> Unfinished:
    """Let the large denoiser begin coarsely and finish finely, for prompts of the training set.

    ``batches`` are the numbers of the batches of CHUNK to make: all those of HEAD_STEPS times HANDOFFS in a row see
    every way to begin once.
    """
    noise, generator = Noise(), torch.Generator()
    parts: list[Unfinished] = []
    for number in tqdm(batches, desc="half-done latents", mininterval=5, disable=quiet):
        generator.manual_seed(seed * 1_000_003 + number)
        tokens = data.batch(CHUNK, generator).tokens
        model = Guided.of(large, tokens, data.blank, guidance)
        steps = HEAD_STEPS[number % len(HEAD_STEPS)]
        handoff = nearest(noise, HANDOFFS[(number // len(HEAD_STEPS)) % len(HANDOFFS)])
        x = torch.randn((CHUNK, 4, 16, 16), generator=generator) * noise.sigmas[-1]
        times = _spread(handoff, 0, TAIL_STEPS)
        with half("cpu"):
            x, _ = euler(model, x, _spread(TRAIN_STEPS - 1, handoff, steps), handoff, noise)
            end, passed = euler(model, x, times, None, noise)
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
    finisher: WithText, data: LatentSet, unfinished: Unfinished, noise: Noise, batch: int, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    """Half of the rows on the large one's way, a quarter on its pictures noised anew, a quarter on true scenes."""
    quarter = batch // 4
    rows = torch.randint(len(unfinished.ends), (3 * quarter,), generator=generator)
    ends, tokens = unfinished.ends[rows].float(), unfinished.tokens[rows]
    real = data.batch(quarter, generator)
    point = torch.randint(TAIL_STEPS, (2 * quarter,), generator=generator)
    on_way = unfinished.points[rows[: 2 * quarter], point].float()
    times = torch.cat([unfinished.times[rows[: 2 * quarter], point], noise.draw(2 * quarter, generator)])
    x0 = torch.cat([ends, real.latents])
    alpha, sigma = (values[times].view(-1, 1, 1, 1) for values in (noise.alphas, noise.sigmas))
    anew = x0[2 * quarter :]
    anew = anew + sigma[2 * quarter :] * torch.randn(anew.shape, generator=generator)
    x = torch.cat([on_way, anew]) * alpha
    wanted = (alpha * x - x0) / (alpha * sigma)
    with half("cpu"):
        predicted = finisher(x, times, torch.cat([tokens, real.tokens]))
    errors = F.mse_loss(predicted.float(), wanted, reduction="none").mean((1, 2, 3))
    return {"way": errors[: 2 * quarter].sum() / batch, "noised": errors[2 * quarter :].sum() / batch}
