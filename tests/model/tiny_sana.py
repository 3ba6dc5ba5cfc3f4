"""A tiny Sana pipeline: every kind of block of the real one, and its 32 pixels to a latent cell."""

from __future__ import annotations

import string
from typing import Any

import torch
from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel
from transformers import Gemma2Config, Gemma2Model, GemmaTokenizer

from tests.model.tiny_text import WIDTH

CHANNELS = 32


def scheduler(**options: Any) -> Any:
    """As Sana's is published."""
    own = {"use_flow_sigmas": True, "flow_shift": 3.0, "prediction_type": "flow_prediction"}
    return DPMSolverMultistepScheduler(**{**own, **options})


def sana(stock: Any) -> Any:
    words, text = gemma()
    return SanaPipeline(words, text, autoencoder(), transformer(1, heads=3, layers=2), stock)


def gemma() -> tuple[Any, Any]:
    """A tokenizer that spells words letter by letter, and an encoder."""
    torch.manual_seed(3)
    names = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "\u2581", "\n", *string.ascii_letters, *string.punctuation]
    words = GemmaTokenizer(vocab={name: index for index, name in enumerate(names)}, merges=[])
    config = Gemma2Config(
        vocab_size=len(names),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        sliding_window=64,
    )
    return words, Gemma2Model(config)


def autoencoder() -> Any:
    """Three blocks of convolutions and three with attention at two scales, on either side."""
    torch.manual_seed(2)
    sides: dict[str, Any] = {
        "block_types": ("ResBlock",) * 3 + ("EfficientViTBlock",) * 3,
        "block_out_channels": (8, 16, 16, 32, 32, 32),
        "layers_per_block": (1,) * 6,
        "qkv_multiscales": ((),) * 3 + ((5,),) * 3,
    }
    return AutoencoderDC(
        latent_channels=CHANNELS,
        attention_head_dim=8,
        **{f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in sides.items()},
        upsample_block_type="interpolate",
        downsample_block_type="conv",
        scaling_factor=0.41407,
    )


def transformer(seed: int, heads: int, layers: int) -> Any:
    """The smaller one of the real pair is narrower and deeper."""
    torch.manual_seed(seed)
    width = heads * 16
    return SanaTransformer2DModel(
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_attention_heads=heads,
        attention_head_dim=16,
        num_layers=layers,
        num_cross_attention_heads=heads,
        cross_attention_head_dim=16,
        cross_attention_dim=width,
        caption_channels=WIDTH,
        sample_size=4,
    )
