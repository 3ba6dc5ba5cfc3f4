"""Tiny pipelines of the architectures that are trained on flow matching."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)

from tests.model import tiny_sana
from tests.model.tiny_text import WIDTH, clips, t5, tokenizer
from tests.model.tiny_vae import vae

TALL = 2 * WIDTH
"""Width of T5, which is that of two CLIPs side by side or more."""


def scheduler_of(architecture: str, **options: Any) -> Any:
    """With the shift of the real one: SD 3, Sana and Wan shift always alike, FLUX by the size of the picture."""
    if architecture == "sana":
        return tiny_sana.scheduler(**options)
    own = {"shift": 3.0} if architecture in ("sd3", "wan") else {"use_dynamic_shifting": True, "shift": 3.0}
    return FlowMatchEulerDiscreteScheduler(**{**own, **options})


def sd3(folder: Path, scheduler: Any) -> Any:
    one, two = clips(projecting=(True, True))
    words, long = t5(TALL)
    return StableDiffusion3Pipeline(
        sd3_transformer(1, 2),
        scheduler,
        vae(0.2),
        one,
        tokenizer(folder / "tokenizer"),
        two,
        tokenizer(folder / "tokenizer_2"),
        long,
        words,
    )


def flux(folder: Path, scheduler: Any) -> Any:
    clip, _ = clips(projecting=(False, True))
    words, long = t5(TALL)
    return FluxPipeline(scheduler, vae(0.2), clip, tokenizer(folder / "tokenizer"), long, words, flux_transformer(1, 2))


def sd3_transformer(seed: int, layers: int) -> Any:
    """Of 3.5: normalised queries and keys, and a second attention in the first block."""
    torch.manual_seed(seed)
    return SD3Transformer2DModel(
        sample_size=16,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=layers,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TALL,
        caption_projection_dim=32,
        pooled_projection_dim=2 * WIDTH,
        pos_embed_max_size=24,
        dual_attention_layers=(0,),
        qk_norm="rms_norm",
    )


def flux_transformer(seed: int, layers: int, guidance_embeds: bool = True) -> Any:
    torch.manual_seed(seed)
    made = FluxTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=layers,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=TALL,
        pooled_projection_dim=WIDTH,
        guidance_embeds=guidance_embeds,
        axes_dims_rope=(4, 6, 6),
    )
    made.register_to_config(sample_size=16)  # The real one has none, and makes pictures of 1024 pixels.
    return made
