"""The three denoisers: their shapes, the noise they see, and their losses.

All are transformers of the PixArt kind (Chen et al. 2023, arXiv 2310.00426) and predict the velocity (Salimans & Ho
2022, arXiv 2202.00512) on the variance-preserving schedule of Stable Diffusion 1.x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, PixArtTransformer2DModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from torch.nn import functional as F
from transformers import T5EncoderModel

from rise_shapes.training.data import TRAITS, LatentSet
from rise_shapes.training.loop import half_dtype
from rise_shapes.training.text import WIDTH, read

TRAIN_STEPS: Final = 1000
SCHEDULE: Final = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "num_train_timesteps": TRAIN_STEPS,
}
HEAD_WIDTH: Final = 32
BLANK_SHARE: Final = 0.1
"""Share of captions that are blank, for guidance."""
READING_WEIGHT: Final = 0.15


@dataclass(frozen=True)
class Shape:
    """A denoiser's width and number of blocks."""

    width: int
    depth: int


SHAPES: Final = {
    "large": Shape(160, 8),
    "small": Shape(64, 3),
    "finisher": Shape(96, 4),
    "distilled": Shape(96, 4),
}


def new_denoiser(shape: Shape) -> PixArtTransformer2DModel:
    """An untrained transformer over 64 cells, every block of which begins by passing on what it was given."""
    network = PixArtTransformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=shape.depth,
        num_attention_heads=shape.width // HEAD_WIDTH,
        attention_head_dim=HEAD_WIDTH,
        cross_attention_dim=shape.width,
        caption_channels=WIDTH,
        use_additional_conditions=False,
    )
    with torch.no_grad():
        for block in network.transformer_blocks:
            block.scale_shift_table[2::3] = 0
            nn.init.zeros_(block.attn2.to_out[0].weight)
        nn.init.zeros_(network.adaln_single.linear.weight)
        nn.init.zeros_(network.proj_out.weight)
    return network


def scheduler() -> EulerDiscreteScheduler:
    """The sampler configuration shipped with the family."""
    # clip_sample is read by DDIM alone, where it is on unless it is said: made for pixels, it cuts latents off.
    options = {**SCHEDULE, "timestep_spacing": "trailing", "steps_offset": 1, "clip_sample": False}
    return EulerDiscreteScheduler.from_config(options)


class Noise:
    """The training noise levels: sigma log-normal inside [low, high], a share of it uniform in time.

    Attributes:
        alphas: (1000,) signal scale of the variance-preserving form.
        sigmas: (1000,) noise over signal.
    """

    def __init__(self, mean: float = 0.6, std: float = 1.2, low: float = 0.0, high: float = math.inf) -> None:
        bar = DDPMScheduler(**{k: v for k, v in SCHEDULE.items() if k != "prediction_type"}).alphas_cumprod
        self.alphas, self.sigmas = bar.sqrt(), ((1 - bar) / bar).sqrt()
        logs = self.sigmas.log()
        density = torch.exp(-0.5 * ((logs - mean) / std) ** 2) * torch.gradient(logs)[0]
        inside = (self.sigmas >= low) & (self.sigmas <= high)
        density = density * inside
        self.weights = 0.85 * density / density.sum() + 0.15 * inside / inside.sum()

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Time indices, (count,)."""
        return torch.multinomial(self.weights, count, replacement=True, generator=generator)

    def mix(self, x0: torch.Tensor, noise: torch.Tensor, t: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The noised latent and the velocity that a denoiser is asked for."""
        alpha = self.alphas.to(x0)[t].view(-1, 1, 1, 1)
        beta = (1 - alpha**2).sqrt()
        return alpha * x0 + beta * noise, alpha * noise - beta * x0


class WithText(nn.Module):
    """A denoiser and the text encoder, which is not taught here.

    Where ``reads``, middle features are asked what is where: see `reading_loss`.
    """

    def __init__(self, network: PixArtTransformer2DModel, text: T5EncoderModel, *, reads: bool = False) -> None:
        super().__init__()
        self.network, self.text = network, text.requires_grad_(False)
        self.reader: nn.Module | None = None
        if reads:
            width = network.inner_dim
            classes = sum(len(options) + 1 for options in TRAITS)
            self.reader = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, classes))
            middle = network.transformer_blocks[len(network.transformer_blocks) // 2]
            middle.register_forward_hook(self._keep)

    def _keep(self, _module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        self._features = output

    def forward(self, x: torch.Tensor, t: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Predicted velocity."""
        hidden, mask = read(self.text, tokens)
        return velocity(self.network, x, t, hidden, mask)

    def reading(self) -> torch.Tensor:
        """What the last pass's middle features say of every cell: (B, 64, classes) logits."""
        assert self.reader is not None
        logits: torch.Tensor = self.reader(self._features)
        return logits


def velocity(
    network: PixArtTransformer2DModel, x: torch.Tensor, t: torch.Tensor, hidden: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The network's prediction, (B, 4, 16, 16)."""
    out: torch.Tensor = network(
        x, encoder_hidden_states=hidden, timestep=t, encoder_attention_mask=mask, return_dict=False
    )[0]
    return out


def plain_loss(
    model: WithText, data: LatentSet, noise: Noise, batch: int, generator: torch.Generator, device: str
) -> dict[str, torch.Tensor]:
    """Mean squared error of the velocity on noised scenes, and the reading loss where the model reads."""
    x0, tokens, covers, traits, *_ = data.batch(batch, generator)
    blank = torch.rand(batch, generator=generator) < BLANK_SHARE
    tokens = torch.where(blank[:, None], data.blank, tokens)
    t = noise.draw(batch, generator)
    x, v = noise.mix(x0, torch.randn(x0.shape, generator=generator), t)
    with half(device):
        predicted = model(x.to(device), t.to(device), tokens.to(device))
        shown = model.reading() if model.reader is not None else None
    losses = {"velocity": F.mse_loss(predicted.float(), v.to(device))}
    if shown is not None:
        losses["reading"] = READING_WEIGHT * reading_loss(shown.float(), covers.to(device), traits.to(device))
    return losses


def reading_loss(logits: torch.Tensor, covers: torch.Tensor, traits: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of what covers each cell: for every trait its words and "nothing", weighted by area.

    A picture's error says little of a shape's outline, and nothing of which word meant it; this says both, and the
    features that hold it serve the picture (the idea of Yu et al. 2024, arXiv 2410.06940, with the scene for teacher).
    """
    total = logits.new_zeros(())
    ground = 1 - covers.sum(1, keepdim=True)
    for trait, part in enumerate(logits.split([len(options) + 1 for options in TRAITS], dim=-1)):
        which = F.one_hot(traits[..., trait], part.shape[-1] - 1).float()
        share = torch.cat([torch.einsum("bic,bik->bck", covers, which), ground.mT], dim=-1)
        total = total - (share * part.log_softmax(-1)).sum(-1).mean()
    return total


def half(device: str) -> torch.autocast:
    """bfloat16 arithmetic where the machine has it: on a processor with AVX-512 BF16 a step takes 0.57 of the time."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=half_dtype(device) == torch.bfloat16)


def trainable(network: PixArtTransformer2DModel) -> PixArtTransformer2DModel:
    """Attention by plain products: the fused one's backward pass takes ten times as long in bfloat16 on a CPU."""
    network.set_attn_processor(AttnProcessor())
    # Muon sees convolutions as matrices, which they are without a copy in this order only.
    return network.to(memory_format=torch.channels_last)
