"""Sana: a Gemma 2 that is given an instruction with the prompt, a linear transformer, an autoencoder of 32 to 1."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final

import torch
from diffusers.models.autoencoders.autoencoder_dc import AutoencoderDC
from diffusers.models.transformers.sana_transformer import SanaTransformer2DModel
from diffusers.pipelines.sana.pipeline_sana import SanaPipeline
from torch import Tensor
from transformers import Gemma2Model, GemmaTokenizer

from rise_contracts.errors import InvalidInput
from rise_stage.engine.families.base import Shared, TextStates
from rise_stage.engine.families.components import read_tokenizer
from rise_stage.engine.families.kl import KlFamily, check_fits, check_variance
from rise_stage.engine.families.text import masked_states
from rise_stage.engine.families.weights import text_encoder

MOST_TOKENS: Final = 300
"""What Sana was trained with, and the stock pipeline's default."""
INSTRUCTION: Final = "\n".join(inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default)
"""What stands before every prompt, and before no text that guidance leads away from (Xie et al. 2024, section 2.3)."""
NEGATIVES: Final = 8
"""Texts to lead away from that stay encoded; most jobs have the same one, none."""


class Sana(KlFamily):
    """The shared parts of a Sana family."""

    network_class = SanaTransformer2DModel
    network_folder = "transformer"
    vae_class = AutoencoderDC
    flow = True
    instructed = True
    cells = 32

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.tokenizer = read_tokenizer(GemmaTokenizer, shared.folder, "tokenizer")
        self.tokenizer.padding_side = "right"  # Gemma's own is the left.
        # Gemma 2 overflows in float16, as the autoencoder does.
        self._gemma = text_encoder(replace(shared, dtype=_wide(shared.dtype)), Gemma2Model, "text_encoder")
        self._instruction_tokens = len(self.tokenizer.encode(INSTRUCTION))
        self._plain = lru_cache(NEGATIVES)(self._encode)

    def encode_text(self, text: str) -> TextStates:
        """The prompt with the instruction before it: the first token's state, and those from the prompt on."""
        states = self._encode(text, INSTRUCTION, self._instruction_tokens - 2)
        kept = [0, *range(1 - MOST_TOKENS, 0)]
        mask = states.mask
        return TextStates(states.hidden[:, kept], mask=None if mask is None else mask[:, kept])

    def negative_states(self, text: str, positive: TextStates) -> TextStates:
        return self._plain(text)

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        wanted = {
            "in_channels": self.latent.channels,
            "caption_channels": int(self._gemma.config["hidden_size"]),
            "patch_size": self.patch,
        }
        check_fits(name, wanted, config)
        check_variance(name, self.latent, config)
        if config.get("guidance_embeds"):
            hint = "Sana-Sprint's transformers are told the guidance, and are not served"
            raise InvalidInput(f"member {name}", "guidance_embeds false", True, hint)

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        x, timesteps, hidden, mask = inputs
        predicted: Tensor = network(
            x,
            encoder_hidden_states=hidden.to(x.dtype),
            encoder_attention_mask=mask,
            timestep=timesteps * network.config.timestep_scale,
            return_dict=False,
        )[0]
        return predicted[:, : x.shape[1]]

    def _encode(self, text: str, before: str = "", more: int = 0) -> TextStates:
        """The last hidden layer for MOST_TOKENS tokens and `more`; in lower case, as the stock pipeline has it."""
        told = before + text.lower().strip()
        return masked_states(self.tokenizer, self._gemma, told, MOST_TOKENS + more, self.shared.device)

    def _vae_dtype(self) -> torch.dtype:
        return _wide(self.shared.dtype)


def _wide(dtype: torch.dtype) -> torch.dtype:
    """`dtype`, or one with more range than float16."""
    return torch.float32 if dtype == torch.float16 else dtype
