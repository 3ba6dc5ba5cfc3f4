"""What families with a KL autoencoder have in common: the latent space and the way from it to pixels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from rise_contracts.errors import InvalidInput
from rise_stage.engine.families.base import Shared
from rise_stage.engine.families.components import UNET_WEIGHTS, network_config, read_json, weight_files
from rise_stage.engine.families.weights import autoencoder
from rise_stage.engine.latent_contract import contract_of, differences, vae_digest, vae_settings
from rise_stage.engine.parts import weight_of
from rise_stage.engine.traced import Traced, worthwhile


class Decoder(nn.Module):
    """An autoencoder in memory, and its graphs for the shapes that come often."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae
        # The graph may not know the decoder: in a circle, neither would be freed when it is thrown out.
        self._graph = Traced(vae, partial(_decoded, vae), enabled=worthwhile(vae.device, weight_of(vae)))

    def forward(self, scaled: Tensor) -> Tensor:
        """Latents (B, C, H, W) in the autoencoder's own scale to pictures (B, 3, height, width) in [-1, 1]."""
        return self._graph(scaled.to(self.vae.dtype))

    def trace(self, scaled: Tensor) -> None:
        self._graph.trace(scaled.to(self.vae.dtype))


def _decoded(vae: Any, scaled: Tensor) -> Tensor:
    decoded: Tensor = vae.decode(scaled, return_dict=False)[0]
    return decoded


class KlFamily:
    """The autoencoder of a family, and how large its pictures are."""

    network_class: ClassVar[Any]
    network_folder: ClassVar[str]
    vae_class: ClassVar[Any] = AutoencoderKL
    guided: ClassVar[bool] = True
    flow: ClassVar[bool] = False
    instructed: ClassVar[bool] = False
    spacing: ClassVar[Mapping[str, Any]] = {}
    patch: ClassVar[int] = 1
    """Side of one token of the denoiser, in latent cells."""
    cells: ClassVar[int] = 64
    """Side of its latents where the denoiser's configuration does not say."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self._vae = autoencoder(shared, self.vae_class, "vae", self._vae_dtype(), Decoder)
        self.latent = contract_of(self._vae.config)
        cells = read_json(shared.folder / self.network_folder / "config.json").get("sample_size") or self.cells
        width, height = (cells, cells) if isinstance(cells, int) else (cells[1], cells[0])
        self.size = (width * self.latent.downscale, height * self.latent.downscale)

    @property
    def cell(self) -> int:
        return self.latent.downscale * self.patch

    def tokens(self, size: tuple[int, int]) -> int:
        return (size[0] // self.cell) * (size[1] // self.cell)

    def space_of(self, folder: Path) -> dict[str, Any]:
        # With defaults filled in: some siblings are published with a scaling factor that others leave out.
        return vae_settings(network_config(self.vae_class, folder, "vae"))

    def decode(self, latents: Tensor) -> Tensor:
        with torch.inference_mode(), self._vae.use() as decoder:
            decoded: Tensor = decoder(self._unscaled(latents))
            return decoded.float()

    def trace_decoder(self, latents: Tensor) -> None:
        with self._vae.use() as decoder:
            decoder.trace(self._unscaled(latents))

    def latent_digest(self) -> str:
        return vae_digest(self._vae.config, weight_files(self.shared.folder, "vae", UNET_WEIGHTS, self.shared.variant))

    def _vae_dtype(self) -> torch.dtype:
        return self.shared.dtype

    def _unscaled(self, latents: Tensor) -> Tensor:
        scaled = latents / float(self._vae.config["scaling_factor"])
        shift = self._vae.config["shift_factor"]
        return scaled if shift is None else scaled + shift


def check_fits(name: str, wanted: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise InvalidInput, naming what differs, unless a denoiser's `config` is as `wanted`."""
    wrong = differences(wanted, config)
    if wrong:
        hint = "members of a family share the base's VAE and text encoders"
        raise InvalidInput(f"member {name}", "a denoiser that fits its family", ", ".join(wrong), hint)
