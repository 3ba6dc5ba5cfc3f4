"""The finished family as plain diffusers folders, float16 safetensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, PixArtSigmaPipeline, PixArtTransformer2DModel
from transformers import T5Tokenizer

from rise_shapes.training.denoisers import WithText, scheduler


def write_family(
    folder: Path,
    vae: AutoencoderKL,
    tokenizer: T5Tokenizer,
    large: WithText,
    others: dict[str, PixArtTransformer2DModel],
) -> None:
    """Write the whole pipeline with the large denoiser, and beside it a folder for every other denoiser."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    PixArtSigmaPipeline(
        vae=vae, text_encoder=large.text, tokenizer=tokenizer, transformer=large.network, scheduler=scheduler()
    ).to(torch.float16).save_pretrained(partial)
    for name, network in others.items():
        network.to(torch.float16).save_pretrained(partial / name / "transformer")
    _declare_float32(partial / "text_encoder" / "config.json")
    # Weights are written for their owner alone; these are to be read by whoever installs them.
    for file in partial.rglob("*.*"):
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _declare_float32(config: Path) -> None:
    """Left alone, transformers computes in the precision of the file, and a stock pipeline's halves do not fit."""
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "float32"}, indent=2) + "\n")
