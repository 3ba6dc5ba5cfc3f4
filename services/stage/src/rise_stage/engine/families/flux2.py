"""FLUX.2, dev and klein: one latent space, a transformer of one kind, and text encoders that differ."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from diffusers.models.autoencoders.autoencoder_kl_flux2 import AutoencoderKLFlux2
from diffusers.models.transformers.transformer_flux2 import Flux2Transformer2DModel
from torch import Tensor

from rise_stage.engine.families.base import Conditioning, Shared, TextStates, told
from rise_stage.engine.families.chat import ChatEncoder
from rise_stage.engine.families.components import read_json, read_tensors
from rise_stage.engine.families.kl import KlFamily, check_fits

STATISTICS = ("bn.running_mean", "bn.running_var")


class Flux2(KlFamily):
    """The shared parts of a FLUX.2 family.

    A latent is what the stock pipelines denoise: 2 x 2 cells of the autoencoder in one, normalised by the statistics
    that come with it. For the denoiser it is laid out as a row of tokens; it travels as it is.
    """

    network_class = Flux2Transformer2DModel
    network_folder = "transformer"
    vae_class = AutoencoderKLFlux2
    flow = True
    spacing: ClassVar[Mapping[str, Any]] = {"timestep_spacing": "trailing", "shift_by_steps": True}
    cells = 64

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._views: dict[Path, Self] = {}
        self._statistics = read_tensors(shared.folder, "vae", STATISTICS)
        self._read_with(shared)

    def seen_from(self, folder: Path, variant: str | None) -> Self:
        """Members of another folder read prompts with its text encoder, where it has one."""
        if folder == self.shared.folder or not (folder / "text_encoder").is_dir():
            return self
        if folder not in self._views:
            view = copy(self)
            view._read_with(replace(self.shared, folder=folder, variant=variant))
            self._views[folder] = view
        return self._views[folder]

    def encode_text(self, text: str) -> TextStates:
        return TextStates(self._text(text))

    def conditioning(
        self,
        states: Sequence[TextStates],
        negative: Sequence[TextStates] | None,
        guidance: float,
        size: tuple[int, int],
    ) -> Conditioning:
        return told(super().conditioning(states, negative, guidance, size), guidance)

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        wanted = {"in_channels": self.latent.channels, "patch_size": 1, "joint_attention_dim": self._text.width}
        check_fits(name, wanted, config)
        check_fits(name, {"out_channels": self.latent.channels}, {"out_channels": _out(config)})

    def space_of(self, folder: Path) -> dict[str, Any]:
        """Two autoencoders of one configuration may still differ in the statistics that latents are normalised by."""
        statistics = read_tensors(folder, "vae", STATISTICS)
        digest = hashlib.sha256()
        for name in STATISTICS:
            # As bfloat16, so that a copy in half the bits is the same.
            digest.update(statistics[name].to(torch.bfloat16).contiguous().view(torch.uint8).numpy().tobytes())
        return {**super().space_of(folder), "batch norm statistics": digest.hexdigest()[:12]}

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        """The denoiser is told the guidance where it was distilled to take it."""
        x, timesteps, hidden, scale = inputs
        height, width = x.shape[2:]
        predicted: Tensor = network(
            hidden_states=x.flatten(2).transpose(1, 2),
            timestep=timesteps / 1000,
            guidance=scale if network.config.guidance_embeds else None,
            encoder_hidden_states=hidden,
            txt_ids=_places(1, 1, hidden.shape[1]).to(x.device),
            img_ids=_places(height, width, 1).to(x.device),
            return_dict=False,
        )[0]
        return predicted.transpose(1, 2).reshape(x.shape)

    def _read_with(self, shared: Shared) -> None:
        """Take the text encoder of a folder. Which it is says how members of that folder are guided."""
        self._text = ChatEncoder(shared)
        distilled = bool(read_json(shared.folder / "model_index.json").get("is_distilled"))
        self.guided = self._text.reader.guided and not distilled

    def _unscaled(self, latents: Tensor) -> Tensor:
        """As the autoencoder has them: (B, C, H, W) to (B, C / 4, 2H, 2W)."""
        mean, variance = (self._statistics[name].to(latents).view(1, -1, 1, 1) for name in STATISTICS)
        plain = latents * torch.sqrt(variance + self._vae.config["batch_norm_eps"]) + mean
        return torch.nn.functional.pixel_shuffle(plain, 2)


def _out(config: Mapping[str, Any]) -> Any:
    return config.get("out_channels") or config.get("in_channels")


def _places(height: int, width: int, length: int) -> Tensor:
    """Where each token is, (height * width * length, 4): nought, row, column, place in the text."""
    axes = (torch.arange(1), torch.arange(height), torch.arange(width), torch.arange(length))
    return torch.cartesian_prod(*axes)
