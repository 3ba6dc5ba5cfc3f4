"""A family in the shape of SDXL with random weights: large enough that weights are most of what a worker holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, Source
from tests.model.tiny_text import tokenizer

NAME = "random-sdxl"
WIDTHS = (512, 640)
"""Of the two text encoders; the denoiser attends to both side by side."""
SIDE = 32
"""Of latents, an eighth of the pictures'."""


def make(folder: Path) -> ModelFamily:
    """Save the family with the members large and small to `folder`."""
    torch.manual_seed(0)
    tokenizers = [tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    encoders = (text_encoder(WIDTHS[0], 12), text_encoder(WIDTHS[1], 16, projects=True))
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1
    )
    pipeline = StableDiffusionXLPipeline(
        _vae(), *encoders, *tokenizers, unet((128, 256, 512), 4), scheduler, add_watermarker=False
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    unet((64, 128, 256), 1).save_pretrained(folder / "small" / "unet")
    members = (Member(name="large"), Member(name="small", subfolder="small/unet", tier="device"))
    spec = ModelFamilySpec(architecture="sdxl", base=Source(path=str(folder)), members=members, handoffs=(2.0,))
    return ModelFamily(metadata=Metadata(name=NAME), spec=spec)


def text_encoder(width: int, layers: int, *, projects: bool = False) -> Any:
    """A CLIP text encoder for the tokenizer of 55 words."""
    config = CLIPTextConfig(
        vocab_size=55,
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 64,
        projection_dim=width,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return (CLIPTextModelWithProjection if projects else CLIPTextModel)(config)


def unet(widths: tuple[int, int, int], depth: int) -> Any:
    """A U-Net as SDXL's, which attends at its two lower levels only, most at the lowest."""
    return UNet2DConditionModel(
        sample_size=SIDE,
        block_out_channels=widths,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, depth),
        attention_head_dim=tuple(width // 32 for width in widths),
        cross_attention_dim=sum(WIDTHS),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=64,
        projection_class_embeddings_input_dim=6 * 64 + WIDTHS[1],
    )


def _vae() -> Any:
    return AutoencoderKL(
        block_out_channels=(64, 128, 256, 256),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        sample_size=8 * SIDE,
        scaling_factor=0.13025,
    )
