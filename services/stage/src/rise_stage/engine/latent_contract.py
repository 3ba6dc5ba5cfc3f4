"""The hash that both ends of a handoff must agree on: the latent space, as configuration and weights of its VAE."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rise_contracts.resources import LatentContract

SPACE_KEYS = ("latent_channels", "block_out_channels", "scaling_factor", "shift_factor", "latents_mean", "latents_std")
"""The settings of a VAE that decide what a latent means."""
FURTHER_KEYS = ("batch_norm_eps", "patch_size", "z_dim", "scale_factor_temporal", "is_residual")
"""Those that only some kinds of VAE have; of the others they are no part of the contract."""


def vae_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a VAE's configuration that decides what a latent means, in plain JSON values."""
    settings = {key: config.get(key) for key in SPACE_KEYS}
    settings |= {key: config[key] for key in FURTHER_KEYS if config.get(key) is not None}
    blocks = settings.pop("block_out_channels") or config.get("encoder_block_out_channels") or ()
    downscale = config.get("scale_factor_spatial") or 2 ** (len(blocks) - 1)
    packing = "2x2" if "batch_norm_eps" in settings else "none"
    return {**settings, "downscale": downscale, "packing": packing, "encoding": "vp"}


def contract_of(config: Mapping[str, Any]) -> LatentContract:
    settings = vae_settings(config)
    side = 2 if settings["packing"] == "2x2" else 1
    return LatentContract(
        channels=(settings.get("z_dim") or settings["latent_channels"]) * side**2,
        downscale=settings["downscale"] * side,
        scaling_factor=settings["scaling_factor"] or 1.0,
        shift_factor=settings["shift_factor"] or 0.0,
        packing=settings["packing"],
    )


def latent_digest(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over settings and weights, the latter as float16, so that a half-precision copy is the same space."""
    digest = hashlib.sha256(json.dumps(vae_settings(config), sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().to("cpu", torch.float16).contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """In words, what of two `vae_settings` differs."""
    return [f"{key} {theirs.get(key)} instead of {ours[key]}" for key in ours if ours[key] != theirs.get(key)]
