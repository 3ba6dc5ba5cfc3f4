"""A small AutoencoderTiny with random weights, such as taesd is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderTiny


def tiny_vae(folder: Path, channels: int = 4, blocks: int = 3, **options: Any) -> Path:
    """Save one that takes a latent of so many channels to a picture of 2 to the (blocks - 1) times its side."""
    torch.manual_seed(5)
    made = AutoencoderTiny(
        encoder_block_out_channels=(8,) * blocks,
        decoder_block_out_channels=(8,) * blocks,
        num_encoder_blocks=(1,) * blocks,
        num_decoder_blocks=(1,) * blocks,
        latent_channels=channels,
        **options,
    )
    with torch.no_grad():
        # As it is made it draws black: its output is in [0, 1], and nearly nought.
        made.decoder.layers[-1].weight.mul_(10)
        made.decoder.layers[-1].bias.fill_(0.5)
    made.save_pretrained(folder, safe_serialization=True)
    return folder
