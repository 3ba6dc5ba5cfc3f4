"""One tiny autoencoder for all families."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL


def vae(shift: float | None = None) -> Any:
    torch.manual_seed(2)
    return AutoencoderKL(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=0.7,
        shift_factor=shift,
    )
