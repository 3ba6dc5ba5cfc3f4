"""The three denoisers: their shapes, the noise they see, and their losses.

All are v-prediction (Salimans & Ho 2022, arXiv 2202.00512) on the variance-preserving schedule of Stable Diffusion 1.x.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextModel

from rise_shapes.training.data import LatentSet
from rise_shapes.training.text import WIDTH

TRAIN_STEPS: Final = 1000
SCHEDULE: Final = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "num_train_timesteps": TRAIN_STEPS,
}


@dataclass(frozen=True)
class Shape:
    """A denoiser's channels at 16x16 and at 8x8, its heads, and whether only its middle attends to the words."""

    outer: int
    inner: int
    heads: int
    lean: bool = False


SHAPES: Final = {
    "large": Shape(64, 160, 5),
    "small": Shape(32, 64, 2, lean=True),
    "finisher": Shape(32, 64, 2, lean=True),
    "distilled": Shape(32, 64, 2, lean=True),
}


def new_denoiser(shape: Shape) -> UNet2DConditionModel:
    """A UNet of two levels: convolutions at 16x16, convolutions and cross-attention at 8x8."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "DownBlock2D" if shape.lean else "CrossAttnDownBlock2D"),
        up_block_types=("UpBlock2D" if shape.lean else "CrossAttnUpBlock2D", "UpBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        block_out_channels=(shape.outer, shape.inner),
        layers_per_block=1,
        attention_head_dim=shape.heads,
        cross_attention_dim=WIDTH,
        norm_num_groups=16,
        use_linear_projection=True,
    )


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

    def __init__(self, mean: float = 0.3, std: float = 1.3, low: float = 0.0, high: float = math.inf) -> None:
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
    """The large denoiser and the text encoder, which are trained together."""

    def __init__(self, unet: UNet2DConditionModel, text: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text = unet, text

    def forward(self, x: torch.Tensor, t: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Predicted velocity."""
        context = self.text(tokens).last_hidden_state
        out: torch.Tensor = self.unet(x, t, context, return_dict=False)[0]
        return out


class OnText(nn.Module):
    """A denoiser that listens to a text encoder without teaching it."""

    def __init__(self, unet: UNet2DConditionModel, text: CLIPTextModel) -> None:
        super().__init__()
        self.unet = unet
        # Kept out of the parameters: it is trained elsewhere.
        self._text = (text,)

    def forward(self, x: torch.Tensor, t: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """Predicted velocity."""
        with torch.no_grad():
            context = self._text[0](tokens).last_hidden_state
        out: torch.Tensor = self.unet(x, t, context, return_dict=False)[0]
        return out


def plain_loss(
    model: nn.Module, data: LatentSet, noise: Noise, batch: int, generator: torch.Generator, device: str
) -> torch.Tensor:
    """Mean squared error of the velocity on noised scenes; one caption in ten is blank, for guidance."""
    x0, tokens = data.batch(batch, generator)
    blank = torch.rand(batch, generator=generator) < 0.1
    tokens = torch.where(blank[:, None], data.blank, tokens)
    t = noise.draw(batch, generator)
    eps = torch.randn(x0.shape, generator=generator)
    x, v = noise.mix(x0, eps, t)
    with half(device):
        predicted = model(x.to(device).contiguous(memory_format=torch.channels_last), t.to(device), tokens.to(device))
    return F.mse_loss(predicted.float(), v.to(device))


def half(device: str) -> torch.autocast:
    """bfloat16 arithmetic where the machine has it: on a processor with AVX-512 BF16 a step takes 0.57 of the time."""
    able = device != "cpu" or torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=able)


def trainable(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Attention by plain products: the fused one's backward pass takes ten times as long in bfloat16 on a CPU."""
    unet.set_attn_processor(AttnProcessor())
    return unet.to(memory_format=torch.channels_last)
