"""The hash that both ends of a handoff must agree on: the latent space, as configuration and weights of its VAE."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from rise_contracts.resources import LatentContract

SPACE_KEYS = ("latent_channels", "block_out_channels", "scaling_factor", "shift_factor", "latents_mean", "latents_std")
"""The settings of a VAE that decide what a latent means."""
FURTHER_KEYS = ("batch_norm_eps", "patch_size", "z_dim", "scale_factor_temporal", "is_residual")
"""Those that only some kinds of VAE have; of the others they are no part of the contract."""
RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""Layers of a VAE's attention as old files name them, and as diffusers does once it has read them."""
_OLD = re.compile(rf"(\.attentions\.\d+\.)({'|'.join(RENAMED)})\.")


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


def vae_digest(config: Mapping[str, Any], files: Sequence[Path]) -> str:
    """`latent_digest` of the weights in safetensors files, one tensor at a time. Remembered while the files stay."""
    settings = json.dumps(vae_settings(config), sort_keys=True)
    key = (settings, *((path, path.stat().st_mtime_ns) for path in files))
    if key not in _DIGESTS:
        _DIGESTS[key] = latent_digest(config, Stored(files))
    return _DIGESTS[key]


_DIGESTS: dict[tuple[object, ...], str] = {}


class Stored(Mapping[str, Tensor]):
    """The weights of an autoencoder in safetensors files, under the names that they have in memory."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._places: dict[str, tuple[Path, str]] = {}
        for path in files:
            with safe_open(path, "pt") as file:
                self._places |= {_OLD.sub(_renamed, name): (path, name) for name in sorted(file.keys())}

    def __getitem__(self, name: str) -> Tensor:
        # A file that stays open stays resident as far as it was read: another is opened for every tensor.
        path, stored = self._places[name]
        with safe_open(path, "pt") as file:
            tensor: Tensor = file.get_tensor(stored)
            return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def _renamed(old: re.Match[str]) -> str:
    return f"{old[1]}{RENAMED[old[2]]}."


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """In words, what of two `vae_settings` differs."""
    return [f"{key} {theirs.get(key)} instead of {ours[key]}" for key in ours if ours[key] != theirs.get(key)]
