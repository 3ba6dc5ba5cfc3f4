"""What families with a KL autoencoder have in common: the latent space and the way from it to pixels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor

from rise_contracts.errors import InvalidInput
from rise_stage.engine.families.base import Shared
from rise_stage.engine.families.components import read_json, read_network
from rise_stage.engine.latent_contract import contract_of, differences, latent_digest, vae_settings
from rise_stage.engine.traced import Traced, worthwhile


class KlFamily:
    """The autoencoder of a family, and how large its pictures are."""

    network_class: ClassVar[Any]
    network_folder: ClassVar[str]
    guided: bool = True
    flow: ClassVar[bool] = False
    instructed: ClassVar[bool] = False
    spacing: ClassVar[Mapping[str, Any]] = {}
    patch: ClassVar[int] = 1
    """Side of one token of the denoiser, in latent cells."""
    cells: ClassVar[int | tuple[int, int]] = 64
    """Side of its latents, or height and width, where the denoiser's configuration does not say."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.vae = self._read_vae()
        self._decoder = Traced(
            self.vae, self._decode, enabled=worthwhile(shared.device, self.vae.get_memory_footprint())
        )
        self.latent = contract_of(self.vae.config)
        cells = read_json(shared.folder / self.network_folder / "config.json").get("sample_size") or self.cells
        width, height = (cells, cells) if isinstance(cells, int) else (cells[1], cells[0])
        self.size = (width * self.latent.downscale, height * self.latent.downscale)

    @property
    def cell(self) -> int:
        return self.latent.downscale * self.patch

    def tokens(self, size: tuple[int, int]) -> int:
        return (size[0] // self.cell) * (size[1] // self.cell)

    def seen_from(self, folder: Path, variant: str | None) -> Self:
        return self

    def space_of(self, folder: Path) -> dict[str, Any]:
        return vae_settings(read_json(folder / "vae" / "config.json"))

    def decode(self, latents: Tensor) -> Tensor:
        with torch.inference_mode():
            return self._decoder(self._unscaled(latents).to(self.vae.dtype)).float()

    def trace_decoder(self, latents: Tensor) -> None:
        self._decoder.trace(self._unscaled(latents).to(self.vae.dtype))

    def latent_digest(self) -> str:
        return latent_digest(self.vae.config, self.vae.state_dict())

    def _decode(self, scaled: Tensor) -> Tensor:
        decoded: Tensor = self.vae.decode(scaled, return_dict=False)[0]
        return decoded

    def _read_vae(self) -> Any:
        shared = self.shared
        vae = read_network(AutoencoderKL, shared.folder, "vae", shared.variant, shared.dtype)
        return vae.to(shared.device)

    def _unscaled(self, latents: Tensor) -> Tensor:
        scaled = latents / float(self.vae.config["scaling_factor"])
        shift = self.vae.config["shift_factor"]
        return scaled if shift is None else scaled + shift


def check_fits(name: str, wanted: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise InvalidInput, naming what differs, unless a denoiser's `config` is as `wanted`."""
    wrong = differences(wanted, config)
    if wrong:
        hint = "members of a family share the base's VAE and text encoders"
        raise InvalidInput(f"member {name}", "a denoiser that fits its family", ", ".join(wrong), hint)
