"""Stable Diffusion XL: two CLIP text encoders, pooled text and picture sizes as added conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from rise_contracts.errors import InvalidInput
from rise_stage.engine.families.base import Conditioning, TextStates
from rise_stage.engine.families.components import network_config, read_json, read_tokenizer
from rise_stage.engine.families.sd import StableDiffusion, tokens
from rise_stage.engine.families.weights import text_encoder

TIME_IDS = 6


class StableDiffusionXL(StableDiffusion):
    """The shared parts of an SDXL family."""

    def encode_text(self, text: str) -> TextStates:
        """The last hidden layer but one of both encoders side by side, and the pooled output of the second."""
        hidden, pooled = [], None
        with torch.inference_mode():
            for tokenizer, clip in self._clips:
                with clip.use() as encoder:
                    out = encoder(tokens(tokenizer, text).to(self.shared.device), output_hidden_states=True)
                hidden.append(out.hidden_states[-2])
                pooled = out[0]
            return TextStates(torch.concat(hidden, dim=-1), pooled)

    def negative_states(self, text: str, positive: TextStates) -> TextStates:
        if text or not self._zeros_for_empty or positive.pooled is None:
            return self.encode_text(text)
        return TextStates(torch.zeros_like(positive.hidden), torch.zeros_like(positive.pooled))

    def conditioning(
        self,
        states: Sequence[TextStates],
        negative: Sequence[TextStates] | None,
        guidance: float,
        size: tuple[int, int],
    ) -> Conditioning:
        joined = super().conditioning(states, negative, guidance, size)
        width, height = size
        ids = torch.tensor([[height, width, 0, 0, height, width]], dtype=self.shared.dtype, device=self.shared.device)
        return replace(joined, time_ids=ids.repeat(joined.hidden.shape[0], 1))

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        x, timesteps, hidden, pooled, time_ids = inputs
        added = {"text_embeds": pooled, "time_ids": time_ids}
        predicted: Tensor = network(x, timesteps, hidden, added_cond_kwargs=added, return_dict=False)[0]
        return predicted

    def _vae_dtype(self) -> torch.dtype:
        """The SDXL VAE overflows in float16: where it says so, it is kept in float32."""
        dtype = self.shared.dtype
        upcasts = network_config(AutoencoderKL, self.shared.folder, "vae").get("force_upcast")
        return torch.float32 if upcasts and dtype == torch.float16 else dtype

    def _load_text(self) -> None:
        shared = self.shared
        kinds = (CLIPTextModel, CLIPTextModelWithProjection)
        self._clips = []
        for kind, suffix in zip(kinds, ("", "_2"), strict=True):
            tokenizer = read_tokenizer(CLIPTokenizer, shared.folder, f"tokenizer{suffix}")
            self._clips.append((tokenizer, text_encoder(shared, kind, f"text_encoder{suffix}")))
        index = read_json(shared.folder / "model_index.json")
        self._zeros_for_empty = bool(index.get("force_zeros_for_empty_prompt", True))

    def _context_width(self) -> int:
        return sum(int(clip.config["hidden_size"]) for _, clip in self._clips)

    def _wanted_extras(self) -> dict[str, Any]:
        return {"addition_embed_type": "text_time"}

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        super().check_member(name, config)
        pooled = int(self._clips[-1][1].config["projection_dim"])
        wanted = TIME_IDS * int(config.get("addition_time_embed_dim") or 0) + pooled
        if config.get("projection_class_embeddings_input_dim") != wanted:
            got = config.get("projection_class_embeddings_input_dim")
            raise InvalidInput(f"member {name}", f"projection_class_embeddings_input_dim {wanted}", got)

    def _unscaled(self, latents: Tensor) -> Tensor:
        config = self._vae.config
        mean, std = config.get("latents_mean"), config.get("latents_std")
        if mean is None or std is None:
            return super()._unscaled(latents)
        shaped = [torch.tensor(value, device=latents.device).view(1, -1, 1, 1) for value in (mean, std)]
        return latents * shaped[1] / float(config["scaling_factor"]) + shaped[0]
