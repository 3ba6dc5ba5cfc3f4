"""Families with random weights for benchmarks: what is measured on them is time and bytes, never a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)

from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, Source
from tests.model.tiny import SCHEDULE
from tests.model.tiny_text import WIDTH, clips, tokenizer

NAME = "made"


def sdxl(folder: Path, *, widths: tuple[int, ...] = (128, 256, 512), sample: int = 32) -> ModelFamily:
    """SDXL's layout at a twelfth of its size (0.2 billion weights), pictures of 8 * `sample` pixels a side."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=sample,
        block_out_channels=widths,
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=tuple(width // 64 for width in widths),
        transformer_layers_per_block=(1, 2, 4),
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=6 * 256 + WIDTH,
        use_linear_projection=True,
    )
    vae = _vae((32, 64, 64, 64))
    one, two = clips()
    words = [tokenizer(folder / name) for name in ("tokenizer", "tokenizer_2")]
    pipeline = StableDiffusionXLPipeline(vae, one, two, *words, unet, _scheduler(), add_watermarker=False)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return _manifest("sdxl", folder, guidance=5.0)


def thin(folder: Path) -> ModelFamily:
    """A denoiser without attention and a decoder that does not enlarge: latents of any size cost next to nothing."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(8,),
        layers_per_block=1,
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        mid_block_type=None,
        cross_attention_dim=WIDTH,
        norm_num_groups=4,
    )
    text, _ = clips()
    words = tokenizer(folder / "tokenizer")
    pipeline = StableDiffusionPipeline(
        _vae((8,), attention=False), text, words, unet, _scheduler(), None, None, requires_safety_checker=False
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return _manifest("sd", folder)


def _vae(widths: tuple[int, ...], *, attention: bool = True) -> Any:
    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=attention,
        force_upcast=False,
    )


def _scheduler() -> Any:
    return EulerDiscreteScheduler(**{key: value for key, value in SCHEDULE.items() if key != "clip_sample"})


def _manifest(architecture: str, folder: Path, guidance: float = 1.0) -> ModelFamily:
    members = (
        Member(name="large", tier="edge", default_guidance=guidance),
        Member(name="small", tier="device", default_guidance=guidance),
    )
    wanted = {"architecture": architecture, "base": Source(path=str(folder)), "members": members}
    return ModelFamily(metadata=Metadata(name=NAME), spec=ModelFamilySpec(**wanted))
