"""What families with a KL autoencoder have in common: the latent space and the way from it to pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from rise_contracts.errors import InvalidInput, LatentsDiffer
from rise_contracts.resources import LatentContract
from rise_stage.engine.families.base import Conditioning, Shared, TextStates, scale_of
from rise_stage.engine.families.components import UNET_WEIGHTS, network_config, read_json, weight_files
from rise_stage.engine.families.weights import autoencoder, tiny_autoencoder
from rise_stage.engine.latent_contract import contract_of, differences, vae_digest, vae_settings
from rise_stage.engine.parts import Part, weight_of
from rise_stage.engine.traced import Traced, worthwhile


class Decoder(nn.Module):
    """An autoencoder in memory, and its graphs for the shapes that come often."""

    def __init__(self, vae: Any, device: torch.device) -> None:
        """`device` is where it will be used."""
        super().__init__()
        self.vae = vae
        # The graph may not know the decoder: in a circle, neither would be freed when it is thrown out.
        self._graph = Traced(vae, partial(_decoded, vae), enabled=worthwhile(device, weight_of(vae)))

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
        wrapped = partial(Decoder, device=shared.device)
        self._vae = autoencoder(shared, self.vae_class, "vae", self._vae_dtype(), wrapped)
        self.latent = contract_of(self._vae.config)
        self._tiny = None if shared.tiny is None else tiny_autoencoder(shared, shared.tiny, wrapped)
        if self._tiny is not None:
            _check_tiny(self._tiny.config, self.latent, self.vae_class)
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
        # With defaults filled in: some siblings are published with a setting that others leave out.
        return vae_settings(network_config(self.vae_class, folder, "vae"))

    @property
    def decoder_bytes(self) -> int:
        return self._chosen(preview=False).nbytes

    def encode_text(self, text: str) -> TextStates:
        raise NotImplementedError

    def negative_states(self, text: str, positive: TextStates) -> TextStates:
        return self.encode_text(text)

    def conditioning(
        self,
        states: Sequence[TextStates],
        negative: Sequence[TextStates] | None,
        guidance: float,
        size: tuple[int, int],
    ) -> Conditioning:
        every = (*(negative or ()), *states)
        return Conditioning(
            hidden=torch.cat([state.hidden for state in every]),
            pooled=_joined([state.pooled for state in every]),
            mask=_joined([state.mask for state in every]),
            guidance=scale_of(guidance, negative),
        )

    def decode(self, latents: Tensor) -> Tensor:
        return self._decode(latents, self._chosen(preview=False))

    def preview(self, latents: Tensor) -> Tensor:
        return self._decode(latents, self._chosen(preview=True))

    def trace_decoder(self, latents: Tensor) -> None:
        part = self._chosen(preview=False)
        with part.use() as decoder:
            decoder.trace(self._scaled_for(part, latents))

    def latent_digest(self) -> str:
        return vae_digest(self._vae.config, weight_files(self.shared.folder, "vae", UNET_WEIGHTS, self.shared.variant))

    def _chosen(self, *, preview: bool) -> Part[Decoder]:
        tiny = self.shared.tiny
        return self._tiny if self._tiny and tiny and (preview or tiny.always) else self._vae

    def _decode(self, latents: Tensor, part: Part[Decoder]) -> Tensor:
        with torch.inference_mode(), part.use() as decoder:
            decoded: Tensor = decoder(self._scaled_for(part, latents))
            return decoded.float()

    def _scaled_for(self, part: Part[Decoder], latents: Tensor) -> Tensor:
        return self._unscaled(latents) if part is self._vae else unscaled(latents, part.config)

    def _vae_dtype(self) -> torch.dtype:
        return self.shared.dtype

    def _unscaled(self, latents: Tensor) -> Tensor:
        return unscaled(latents, self._vae.config)


def _joined(values: Sequence[Tensor | None]) -> Tensor | None:
    """One row under the other, where there are any."""
    there = [value for value in values if value is not None]
    return torch.cat(there) if there else None


def unscaled(latents: Tensor, config: Mapping[str, Any]) -> Tensor:
    """From the denoiser's scale to that of the autoencoder with `config`; a tiny one takes the denoiser's."""
    scaled = latents / float(config["scaling_factor"])
    shift = config.get("shift_factor")
    return scaled if shift is None else scaled + shift


def _check_tiny(config: Mapping[str, Any], latent: LatentContract, vae_class: Any) -> None:
    """Raise LatentsDiffer unless an AutoencoderTiny with `config` decodes such latents."""
    if vae_class is not AutoencoderKL:
        hint = "an AutoencoderTiny knows no other latents than those of an AutoencoderKL"
        raise InvalidInput("tinyVae", f"none, for a family with {vae_class.__name__}", "one", hint)
    downscale = config["upsampling_scaling_factor"] ** (len(config["decoder_block_out_channels"]) - 1)
    found = {"latent_channels": config["latent_channels"], "downscale": downscale}
    wrong = differences({"latent_channels": latent.channels, "downscale": latent.downscale}, found)
    if wrong:
        raise LatentsDiffer("tinyVae", "an AutoencoderTiny of the family's latents", ", ".join(wrong))


def check_fits(name: str, wanted: dict[str, Any], config: dict[str, Any]) -> None:
    """Raise InvalidInput, naming what differs, unless a denoiser's `config` is as `wanted`."""
    wrong = differences(wanted, config)
    if wrong:
        hint = "members of a family share the base's VAE and text encoders"
        raise InvalidInput(f"member {name}", "a denoiser that fits its family", ", ".join(wrong), hint)


def check_variance(name: str, latent: LatentContract, config: dict[str, Any]) -> None:
    """Raise InvalidInput unless a denoiser gives latents, or latents with a learned variance, which is left out."""
    channels = config.get("out_channels") or config.get("in_channels")
    if channels not in (latent.channels, 2 * latent.channels):
        options = f"{latent.channels}, or {2 * latent.channels} with a learned variance"
        raise InvalidInput(f"member {name}", f"out_channels {options}", channels)
