"""The family's autoencoder: 64x64 RGB to 16x16 latents of four channels and back."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import nn
from torch.nn import functional as F

from rise_shapes.render import render
from rise_shapes.training.data import pixels, scenes
from rise_shapes.training.loop import Stage, run_stage

KL_WEIGHT = 1e-6
COLOUR_WEIGHT = 2.0
LATENT_SLACK = 0.03
BATCH = 24
POOL = 6000


def new_vae() -> AutoencoderKL:
    """The architecture, untrained."""
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        mid_block_add_attention=False,
        force_upcast=False,
    )
    # A latent that starts as pure noise teaches the decoder to ignore it, and channels die: start almost exact.
    with torch.no_grad():
        vae.quant_conv.bias[4:] = -8.0
    return vae


def reconstruction(out: torch.Tensor, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """L1, plus L1 of the differences between neighbours, which keeps outlines crisp.

    Coloured pixels weigh more than the grey ground, for they are few and everything said is about them.
    """
    chroma = x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    l1 = ((out - x).abs() * (1 + COLOUR_WEIGHT * chroma)).mean()
    edges = sum((F.l1_loss(out.diff(dim=d), x.diff(dim=d)) for d in (2, 3)), torch.zeros((), device=x.device))
    return {"l1": l1, "edges": edges}


def loss(vae: AutoencoderKL, x: torch.Tensor, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Reconstruction from a drawn latent, plus a light KL term."""
    posterior = vae.encode(x).latent_dist
    noise = torch.randn(posterior.mean.shape, generator=generator).to(x.device)
    out = vae.decode(posterior.mean + posterior.std * noise).sample
    return {**reconstruction(out, x), "kl": KL_WEIGHT * posterior.kl().mean()}


def train_vae(folder: Path, steps: int, seed: int, device: str, count: int = POOL) -> AutoencoderKL:
    """Train, measure the latents' deviation for the scaling factor, and return the averaged model."""
    torch.manual_seed(seed)
    vae = new_vae().to(device, memory_format=torch.channels_last)
    pool = pixels([render(item) for item in scenes(seed, count)])

    def step_loss(generator: torch.Generator) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(pool), (BATCH,), generator=generator)
        x = pool[rows].to(device).contiguous(memory_format=torch.channels_last)
        return loss(vae, x, generator)

    averaged = run_stage(Stage("vae", vae, step_loss, steps, lr=1e-3, muon_lr=1e-2, seed=seed, device=device), folder)
    vae.load_state_dict(averaged)
    vae.eval()
    with torch.inference_mode():
        latents = torch.cat([vae.encode(chunk.to(device)).latent_dist.mode() for chunk in pool[:512].split(64)])
    vae.register_to_config(scaling_factor=round(1.0 / latents.std().item(), 4))
    return vae


def tune_decoder(vae: AutoencoderKL, folder: Path, steps: int, seed: int, count: int = POOL) -> None:
    """Sharpen the decoder alone, on the latents as they are: what the denoisers learned stays true."""
    part = nn.ModuleDict({"decoder": vae.decoder, "post_quant_conv": vae.post_quant_conv})
    part.requires_grad_(True)
    pool = pixels([render(item) for item in scenes(seed + 3, count)])
    device = str(vae.device)

    def step_loss(generator: torch.Generator) -> dict[str, torch.Tensor]:
        rows = torch.randint(len(pool), (BATCH,), generator=generator)
        x = pool[rows].to(device).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            latents = vae.encode(x).latent_dist.mode()
            # Denoised latents are never exact; the decoder learns not to mind.
            latents = latents + LATENT_SLACK * torch.randn(latents.shape, generator=generator).to(device)
        return reconstruction(vae.decode(latents).sample, x)

    run_stage(
        Stage("decoder", part, step_loss, steps, lr=5e-4, muon_lr=4e-3, decay=0.6, seed=seed, device=device), folder
    )
