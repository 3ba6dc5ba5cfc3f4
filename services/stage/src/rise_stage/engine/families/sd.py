"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a UNet, a KL autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from rise_contracts.errors import InvalidInput
from rise_stage.engine.families.base import Conditioning, Shared, TextStates
from rise_stage.engine.families.components import read_json, read_network, read_text_encoder, read_tokenizer
from rise_stage.engine.latent_contract import contract_of, differences, latent_digest
from rise_stage.engine.traced import Traced, worthwhile


class StableDiffusion:
    """The shared parts of an SD 1.x or 2.x family."""

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.vae = self._read_vae()
        self._decoder = Traced(
            self.vae, self._decode, enabled=worthwhile(shared.device, self.vae.get_memory_footprint())
        )
        self.latent = contract_of(self.vae.config)
        self._load_text()
        cells = read_json(shared.folder / "unet" / "config.json").get("sample_size") or 64
        width, height = (cells, cells) if isinstance(cells, int) else (cells[1], cells[0])
        self.size = (width * self.latent.downscale, height * self.latent.downscale)

    def encode_text(self, text: str) -> TextStates:
        with torch.inference_mode():
            ids = tokens(self.tokenizer, text).to(self.shared.device)
            mask = None
            if getattr(self.text_encoder.config, "use_attention_mask", False):
                mask = self.tokenizer(text, padding="max_length", truncation=True, return_tensors="pt").attention_mask
                mask = mask.to(self.shared.device)
            return TextStates(self.text_encoder(ids, attention_mask=mask)[0])

    def negative_states(self, text: str, positive: TextStates) -> TextStates:
        return self.encode_text(text)

    def conditioning(
        self,
        states: Sequence[TextStates],
        negative: Sequence[TextStates] | None,
        guidance: float | None,
        size: tuple[int, int],
    ) -> Conditioning:
        return Conditioning(torch.cat([state.hidden for state in (*(negative or ()), *states)]), guidance=guidance)

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        wanted = {
            "in_channels": self.latent.channels,
            "out_channels": self.latent.channels,
            "cross_attention_dim": self._context_width(),
            "time_cond_proj_dim": None,
            **self._wanted_extras(),
        }
        wrong = differences(wanted, config)
        if wrong:
            hint = "members of a family share the base's VAE and text encoders"
            raise InvalidInput(f"member {name}", "a denoiser that fits its family", ", ".join(wrong), hint)

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        x, timesteps, hidden = inputs
        predicted: Tensor = network(x, timesteps, hidden, return_dict=False)[0]
        return predicted

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

    def _read_vae(self) -> AutoencoderKL:
        shared = self.shared
        vae = read_network(AutoencoderKL, shared.folder, "vae", shared.variant, shared.dtype)
        return vae.to(shared.device)

    def _load_text(self) -> None:
        shared = self.shared
        self.tokenizer = read_tokenizer(CLIPTokenizer, shared.folder, "tokenizer")
        encoder = read_text_encoder(CLIPTextModel, shared.folder, "text_encoder", shared.variant, shared.dtype)
        self.text_encoder = encoder.to(shared.device)

    def _context_width(self) -> int:
        return int(self.text_encoder.config.hidden_size)

    def _wanted_extras(self) -> dict[str, Any]:
        return {"addition_embed_type": None}

    def _unscaled(self, latents: Tensor) -> Tensor:
        return latents / float(self.vae.config["scaling_factor"])


def tokens(tokenizer: Any, text: str) -> Tensor:
    """Token ids (1, L), padded and cut to what the encoder takes."""
    encoded = tokenizer(
        [text], padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    ids: Tensor = encoded.input_ids
    return ids
