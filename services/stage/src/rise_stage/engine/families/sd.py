"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a UNet, a KL autoencoder."""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from rise_stage.engine.families.base import Shared, TextStates
from rise_stage.engine.families.components import read_tokenizer
from rise_stage.engine.families.kl import KlFamily, check_fits
from rise_stage.engine.families.text import padded
from rise_stage.engine.families.weights import text_encoder


class StableDiffusion(KlFamily):
    """The shared parts of an SD 1.x or 2.x family."""

    network_class = UNet2DConditionModel
    network_folder = "unet"

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._load_text()

    def encode_text(self, text: str) -> TextStates:
        ids = tokens(self.tokenizer, text).to(self.shared.device)
        mask = None
        if self._clip.config.get("use_attention_mask", False):
            mask = self.tokenizer(text, padding="max_length", truncation=True, return_tensors="pt").attention_mask
            mask = mask.to(self.shared.device)
        with torch.inference_mode(), self._clip.use() as encoder:
            return TextStates(encoder(ids, attention_mask=mask)[0])

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        wanted = {
            "in_channels": self.latent.channels,
            "out_channels": self.latent.channels,
            "cross_attention_dim": self._context_width(),
            "time_cond_proj_dim": None,
            **self._wanted_extras(),
        }
        check_fits(name, wanted, config)

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        x, timesteps, hidden = inputs
        predicted: Tensor = network(x, timesteps, hidden, return_dict=False)[0]
        return predicted

    def _load_text(self) -> None:
        shared = self.shared
        self.tokenizer = read_tokenizer(CLIPTokenizer, shared.folder, "tokenizer")
        self._clip = text_encoder(shared, CLIPTextModel, "text_encoder")

    def _context_width(self) -> int:
        return int(self._clip.config["hidden_size"])

    def _wanted_extras(self) -> dict[str, Any]:
        return {"addition_embed_type": None}


def tokens(tokenizer: Any, text: str) -> Tensor:
    """Token ids (1, L), padded and cut to what the encoder takes."""
    ids: Tensor = padded(tokenizer, text, tokenizer.model_max_length).input_ids
    return ids
