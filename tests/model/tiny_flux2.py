"""Tiny FLUX.2 pipelines: dev, which is told the guidance, and klein, with another text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLFlux2, Flux2KleinPipeline, Flux2Pipeline, Flux2Transformer2DModel

from tests.model import tiny_chat

CELLS = 4


def dev(folder: Path, scheduler: Any) -> Any:
    model, words = tiny_chat.mistral3()
    return Flux2Pipeline(scheduler, vae(), model, words, transformer(1, 2))


def klein(scheduler: Any, *, layers: int = 1, distilled: bool = False) -> Any:
    model, words = tiny_chat.qwen3()
    network = transformer(7, layers, heads=1, guidance_embeds=False)
    return Flux2KleinPipeline(scheduler, vae(), model, words, network, is_distilled=distilled)


def vae(spread: float = 3.0) -> Any:
    """With statistics of latents that are far from what a new one begins with."""
    torch.manual_seed(2)
    made = AutoencoderKLFlux2(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=CELLS,
        norm_num_groups=8,
        sample_size=64,
    )
    made.bn.running_mean.copy_(torch.linspace(-1, 1, 4 * CELLS))
    made.bn.running_var.copy_(torch.linspace(0.5, spread, 4 * CELLS))
    return made


def transformer(seed: int, layers: int, heads: int = 2, guidance_embeds: bool = True) -> Any:
    torch.manual_seed(seed)
    made = Flux2Transformer2DModel(
        in_channels=4 * CELLS,
        num_layers=1,
        num_single_layers=layers,
        attention_head_dim=16,
        num_attention_heads=heads,
        joint_attention_dim=3 * tiny_chat.WIDTH,
        timestep_guidance_channels=32,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guidance_embeds,
    )
    made.register_to_config(sample_size=8)  # The real ones have none, and make pictures of 1024 pixels.
    return made


def call(pipeline: Any, prompt: Any, *, height: int = 64, width: int = 64, **options: Any) -> Any:
    """With latents as they are denoised, laid out as a picture: the two pipelines give them in two other forms."""
    last: dict[str, Any] = {}

    def note(_: Any, __: int, ___: Any, found: dict[str, Any]) -> dict[str, Any]:
        last.update(found)
        return found

    made = pipeline(prompt=prompt, height=height, width=width, callback_on_step_end=note, **options)
    if options.get("output_type") == "latent":
        side = 2 * pipeline.vae_scale_factor
        made.images = last["latents"].transpose(1, 2).unflatten(2, (height // side, width // side))
    return made
