"""Stable Diffusion 3 and 3.5: two CLIP encoders and a T5, a transformer trained on flow matching."""

from __future__ import annotations

from typing import Any, Final

import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from torch import Tensor
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from rise_stage.engine.families.base import Shared, TextStates
from rise_stage.engine.families.components import read_json, read_tokenizer
from rise_stage.engine.families.kl import KlFamily, check_fits
from rise_stage.engine.families.sd import tokens
from rise_stage.engine.families.t5 import T5
from rise_stage.engine.families.weights import text_encoder

MOST_TOKENS: Final = 256
"""What the stock pipeline cuts a text to for T5."""


class StableDiffusion3(KlFamily):
    """The shared parts of an SD 3 or 3.5 family. A folder without the T5 is taken too: it is the largest part."""

    network_class = SD3Transformer2DModel
    network_folder = "transformer"
    flow = True
    patch = 2
    cells = 128

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self._clips = []
        for suffix in ("", "_2"):
            tokenizer = read_tokenizer(CLIPTokenizer, shared.folder, f"tokenizer{suffix}")
            clip = text_encoder(shared, CLIPTextModelWithProjection, f"text_encoder{suffix}")
            self._clips.append((tokenizer, clip))
        left_out = read_json(shared.folder / "model_index.json").get("text_encoder_3") == [None, None]
        self._t5 = None if left_out else T5(shared, "_3", MOST_TOKENS)
        self._width = int(read_json(shared.folder / self.network_folder / "config.json")["joint_attention_dim"])

    def encode_text(self, text: str) -> TextStates:
        """The last hidden layers but one of both CLIPs side by side, widened with zeros, before those of T5."""
        hidden, pooled = [], []
        with torch.inference_mode():
            for tokenizer, part in self._clips:
                with part.use() as encoder:
                    out = encoder(tokens(tokenizer, text).to(self.shared.device), output_hidden_states=True)
                hidden.append(out.hidden_states[-2])
                pooled.append(out[0])
            clip = torch.cat(hidden, dim=-1)
            long = clip.new_zeros((1, MOST_TOKENS, self._width)) if self._t5 is None else self._t5(text)
            wide = torch.nn.functional.pad(clip, (0, long.shape[-1] - clip.shape[-1]))
            return TextStates(torch.cat([wide, long], dim=-2), torch.cat(pooled, dim=-1))

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        wanted = {
            "in_channels": self.latent.channels,
            "out_channels": self.latent.channels,
            "patch_size": self.patch,
            "joint_attention_dim": self._width if self._t5 is None else self._t5.width,
            "pooled_projection_dim": sum(int(clip.config["projection_dim"]) for _, clip in self._clips),
        }
        check_fits(name, wanted, config)

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        x, timesteps, hidden, pooled = inputs
        predicted: Tensor = network(
            hidden_states=x,
            timestep=timesteps,
            encoder_hidden_states=hidden,
            pooled_projections=pooled,
            return_dict=False,
        )[0]
        return predicted
