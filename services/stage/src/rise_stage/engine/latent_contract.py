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


def vae_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a VAE's configuration that decides what a latent means, in plain JSON values."""
    settings = {key: config.get(key) for key in SPACE_KEYS}
    channels = settings.pop("block_out_channels") or config.get("encoder_block_out_channels") or ()
    return {**settings, "downscale": 2 ** (len(channels) - 1), "packing": "none", "encoding": "vp"}


def contract_of(config: Mapping[str, Any]) -> LatentContract:
    settings = vae_settings(config)
    return LatentContract(
        channels=settings["latent_channels"],
        downscale=settings["downscale"],
        scaling_factor=settings["scaling_factor"],
        shift_factor=settings["shift_factor"] or 0.0,
    )


def latent_digest(config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over settings and weights, the latter as float16, so that a half-precision copy is the same space."""
    digest = hashlib.sha256(json.dumps(vae_settings(config), sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].detach().to("cpu", torch.float16).contiguous()
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """In words, what of two `vae_settings` differs."""
    return [f"{key} {theirs.get(key)} instead of {ours[key]}" for key in ours if ours[key] != theirs.get(key)]
