"""The finished family as plain diffusers folders, float16 safetensors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTokenizer

from rise_shapes.training.denoisers import WithText, scheduler


def write_family(
    folder: Path, vae: AutoencoderKL, tokenizer: CLIPTokenizer, large: WithText, others: dict[str, UNet2DConditionModel]
) -> None:
    """Write the whole pipeline with the large denoiser, and beside it a folder for every other denoiser."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=large.text,
        tokenizer=tokenizer,
        unet=large.unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(torch.float16).save_pretrained(partial)
    for name, unet in others.items():
        unet.to(torch.float16).save_pretrained(partial / name / "unet")
    _declare_float32(partial / "text_encoder" / "config.json")
    # Weights are written for their owner alone; these are to be read by whoever installs them.
    for file in partial.rglob("*.*"):
        file.chmod(0o644)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _declare_float32(config: Path) -> None:
    """Left alone, transformers computes in the precision of the file, and a stock pipeline's halves do not fit."""
    config.write_text(json.dumps({**json.loads(config.read_text()), "dtype": "float32"}, indent=2) + "\n")
