"""Tiny text encoders, and tokenizers that spell words letter by letter."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

WIDTH = 32
"""Width of a text encoder; SDXL's denoiser attends to two side by side."""


def t5(width: int = WIDTH) -> tuple[Any, Any]:
    """A tokenizer and an encoder."""
    torch.manual_seed(3)
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0)]
    words = T5Tokenizer(
        vocab=[*pieces, *((letter, -3.0) for letter in string.ascii_lowercase)], extra_ids=0, model_max_length=20
    )
    encoder = T5EncoderModel(
        T5Config(vocab_size=len(words), d_model=width, d_kv=8, d_ff=2 * width, num_layers=2, num_heads=4)
    )
    return words, encoder


def clips(projecting: tuple[bool, bool] = (False, True)) -> tuple[Any, ...]:
    torch.manual_seed(3)
    config = CLIPTextConfig(
        vocab_size=2 * len(string.ascii_lowercase) + 3,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=WIDTH,
        hidden_act="gelu",
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return tuple((CLIPTextModelWithProjection if projects else CLIPTextModel)(config) for projects in projecting)


def tokenizer(folder: Path) -> Any:
    """A CLIP tokenizer whose words are spelled letter by letter."""
    folder.mkdir(parents=True)
    names = ["<|startoftext|>", "<|endoftext|>", *(c + end for c in string.ascii_lowercase for end in ("", "</w>"))]
    (folder / "vocab.json").write_text(json.dumps({name: index for index, name in enumerate([*names, "!"])}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=77)
