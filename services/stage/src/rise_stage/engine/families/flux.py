"""FLUX.1: a CLIP and a T5 encoder, a transformer over packed latents that is told the guidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import torch
from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from rise_stage.engine.families.base import Conditioning, Shared, TextStates, told
from rise_stage.engine.families.components import read_tokenizer
from rise_stage.engine.families.kl import KlFamily, check_fits
from rise_stage.engine.families.sd import tokens
from rise_stage.engine.families.t5 import T5
from rise_stage.engine.families.weights import text_encoder

MOST_TOKENS: Final = 512
"""What the stock pipeline cuts a text to for T5."""


class Flux(KlFamily):
    """The shared parts of a FLUX.1 family. Latents are packed for the denoiser alone: they travel as they are."""

    network_class = FluxTransformer2DModel
    network_folder = "transformer"
    guided = False
    flow = True
    spacing: ClassVar[Mapping[str, Any]] = {"timestep_spacing": "trailing"}
    patch = 2
    cells = 128

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.tokenizer = read_tokenizer(CLIPTokenizer, shared.folder, "tokenizer")
        self._clip = text_encoder(shared, CLIPTextModel, "text_encoder")
        self._t5 = T5(shared, "_2", MOST_TOKENS)

    def encode_text(self, text: str) -> TextStates:
        with torch.inference_mode(), self._clip.use() as clip:
            pooled = clip(tokens(self.tokenizer, text).to(self.shared.device)).pooler_output
        return TextStates(self._t5(text), pooled)

    def conditioning(
        self,
        states: Sequence[TextStates],
        negative: Sequence[TextStates] | None,
        guidance: float,
        size: tuple[int, int],
    ) -> Conditioning:
        return told(super().conditioning(states, negative, guidance, size), guidance)

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        wanted = {
            "in_channels": self.latent.channels * self.patch**2,
            "patch_size": 1,
            "joint_attention_dim": self._t5.width,
            "pooled_projection_dim": int(self._clip.config["hidden_size"]),
        }
        check_fits(name, wanted, config)

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        """The denoiser is told the guidance where it was distilled to take it."""
        x, timesteps, hidden, pooled, scale = inputs
        height, width = x.shape[2] // self.patch, x.shape[3] // self.patch
        predicted: Tensor = network(
            hidden_states=_packed(x),
            timestep=timesteps / 1000,
            guidance=scale if network.config.guidance_embeds else None,
            pooled_projections=pooled,
            encoder_hidden_states=hidden,
            txt_ids=hidden.new_zeros((hidden.shape[1], 3)),
            img_ids=_places(height, width).to(x),
            return_dict=False,
        )[0]
        return _unpacked(predicted, height, width)


def _packed(x: Tensor) -> Tensor:
    """(B, C, H, W) as tokens of 2 x 2 cells, (B, H/2 * W/2, 4C)."""
    batch, channels, height, width = x.shape
    cells = x.view(batch, channels, height // 2, 2, width // 2, 2)
    return cells.permute(0, 2, 4, 1, 3, 5).reshape(batch, (height // 2) * (width // 2), channels * 4)


def _unpacked(x: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `_packed`; height and width are in tokens."""
    batch, _, channels = x.shape
    cells = x.view(batch, height, width, channels // 4, 2, 2)
    return cells.permute(0, 3, 1, 4, 2, 5).reshape(batch, channels // 4, height * 2, width * 2)


def _places(height: int, width: int) -> Tensor:
    """Where each token is, (height * width, 3): nought, row, column."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).reshape(-1, 3)
