"""A tiny Wan pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel
from transformers import UMT5Config, UMT5EncoderModel

from tests.model.tiny_text import WIDTH, t5

CHANNELS, FRAMES = 4, 9


def wan(folder: Path, scheduler: Any) -> Any:
    words, _ = t5()
    return WanPipeline(words, umt5(len(words)), vae(), scheduler, transformer(1, 2))


def umt5(vocabulary: int) -> Any:
    torch.manual_seed(3)
    config = UMT5Config(vocab_size=vocabulary, d_model=WIDTH, d_kv=8, d_ff=2 * WIDTH, num_layers=2, num_heads=4)
    return UMT5EncoderModel(config)


def vae() -> Any:
    torch.manual_seed(2)
    return AutoencoderKLWan(
        base_dim=8,
        z_dim=CHANNELS,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        latents_mean=[-0.5, 0.2, 0.9, 0.0],
        latents_std=[2.0, 1.5, 0.7, 1.0],
    )


def transformer(seed: int, layers: int, heads: int = 2) -> Any:
    torch.manual_seed(seed)
    made = WanTransformer3DModel(
        num_attention_heads=heads,
        attention_head_dim=12,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        text_dim=WIDTH,
        freq_dim=16,
        ffn_dim=32,
        num_layers=layers,
        rope_max_seq_len=32,
    )
    made.register_to_config(sample_size=(8, 8))  # The real ones have none, and make videos of 832 x 480.
    return made


def call(pipeline: Any, prompt: Any, **options: Any) -> Any:
    """With what other pipelines call images."""
    videos = options.pop("num_images_per_prompt", 1)
    sizes = {"height": 64, "width": 64, "num_frames": FRAMES}
    made = pipeline(prompt, num_videos_per_prompt=videos, **{**sizes, **options})
    made.images = made.frames
    return made
