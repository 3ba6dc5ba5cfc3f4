"""A family whose denoiser costs next to nothing, with random weights: what is left of a job is everything else."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionPipeline, UNet2DConditionModel

from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, Source
from tests.model.tiny_text import WIDTH, clips, tokenizer

NAME = "thin"


def make(folder: Path) -> ModelFamily:
    """Save the family with the members large and small to `folder`.

    The denoiser has no attention and the decoder does not enlarge, so that latents may have any size.
    """
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
    vae = AutoencoderKL(block_out_channels=(8,), latent_channels=4, norm_num_groups=4, mid_block_add_attention=False)
    text, _ = clips()
    scheduler = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    pipeline = StableDiffusionPipeline(
        vae, text, tokenizer(folder / "tokenizer"), unet, scheduler, None, None, requires_safety_checker=False
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    members = (Member(name="large"), Member(name="small", tier="device"))
    spec = ModelFamilySpec(architecture="sd", base=Source(path=str(folder)), members=members)
    return ModelFamily(metadata=Metadata(name=NAME), spec=spec)
