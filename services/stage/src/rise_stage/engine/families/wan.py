"""Wan 2.1, text to video: one UMT5 encoder, a transformer over frames, an autoencoder that is causal in time."""

from __future__ import annotations

import html
from typing import Any, Final

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import AutoencoderKLWan
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from torch import Tensor
from transformers import T5Tokenizer, UMT5EncoderModel

from rise_contracts.errors import InvalidInput
from rise_contracts.frames import EVERY
from rise_stage.engine.families.base import Shared, TextStates
from rise_stage.engine.families.components import network_config, read_json, read_tokenizer
from rise_stage.engine.families.kl import KlFamily, check_fits
from rise_stage.engine.families.text import masked_states
from rise_stage.engine.families.weights import text_encoder

MOST_TOKENS: Final = 512
"""What the stock pipeline cuts and pads a text to."""


class Wan(KlFamily):
    """The shared parts of a Wan family. Latents are (B, C, F, H, W)."""

    network_class = WanTransformer3DModel
    network_folder = "transformer"
    vae_class = AutoencoderKLWan
    flow = True
    patch = 2
    cells = (60, 104)

    def __init__(self, shared: Shared) -> None:
        _check_kind(shared)
        super().__init__(shared)
        self.tokenizer = read_tokenizer(T5Tokenizer, shared.folder, "tokenizer")
        self._umt5 = text_encoder(shared, UMT5EncoderModel, "text_encoder")

    def encode_text(self, text: str) -> TextStates:
        """The last hidden layer, with zeros for padding: the denoiser attends to those, too."""
        plain = " ".join(html.unescape(html.unescape(text)).split())
        states = masked_states(self.tokenizer, self._umt5, plain, MOST_TOKENS, self.shared.device)
        assert states.mask is not None
        with torch.inference_mode():
            return TextStates(torch.where(states.mask[..., None] > 0, states.hidden, 0.0))

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        wanted = {
            "in_channels": self.latent.channels,
            "out_channels": self.latent.channels,
            "text_dim": int(self._umt5.config["d_model"]),
            "patch_size": [1, self.patch, self.patch],
            "image_dim": None,
        }
        check_fits(name, wanted, config)

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        x, timesteps, hidden = inputs
        predicted: Tensor = network(
            hidden_states=x, timestep=timesteps, encoder_hidden_states=hidden, return_dict=False
        )[0]
        return predicted

    def _vae_dtype(self) -> torch.dtype:
        """In float32, as its makers use it: it is small beside the denoisers."""
        return torch.float32

    def _unscaled(self, latents: Tensor) -> Tensor:
        config = self._vae.config
        mean, std = (
            torch.tensor(config[key], device=latents.device).view(1, -1, 1, 1, 1)
            for key in ("latents_mean", "latents_std")
        )
        return latents * std + mean


def _check_kind(shared: Shared) -> None:
    """Refuse what is called Wan and works otherwise."""
    if read_json(shared.folder / "model_index.json").get("expand_timesteps"):
        hint = "Wan 2.1, and the two denoisers of Wan 2.2 A14B, are served"
        raise InvalidInput("model_index.json", "expand_timesteps false", True, hint)
    every = network_config(AutoencoderKLWan, shared.folder, "vae")["scale_factor_temporal"]
    if every != EVERY:
        raise InvalidInput("vae", f"scale_factor_temporal {EVERY}", every)
