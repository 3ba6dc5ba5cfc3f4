"""The T5 encoder of families that attend to its padding like to all else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import T5EncoderModel, T5Tokenizer

from rise_stage.engine.families.base import Shared
from rise_stage.engine.families.components import read_text_encoder, read_tokenizer


class T5:
    """Tokenizer and encoder; `most` is what the stock pipeline cuts a text to, an encoder may be good for less."""

    def __init__(self, shared: Shared, suffix: str, most: int) -> None:
        self.tokenizer: Any = read_tokenizer(T5Tokenizer, shared.folder, f"tokenizer{suffix}")
        encoder = read_text_encoder(
            T5EncoderModel, shared.folder, f"text_encoder{suffix}", shared.variant, shared.dtype
        )
        self.encoder = encoder.to(shared.device)
        self.most_tokens = min(most, int(self.tokenizer.model_max_length))

    @property
    def width(self) -> int:
        return int(self.encoder.config.d_model)

    def __call__(self, text: str) -> Tensor:
        """The last hidden layer, (1, L, D)."""
        encoded = self.tokenizer(
            [text], padding="max_length", max_length=self.most_tokens, truncation=True, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden: Tensor = self.encoder(encoded.input_ids.to(self.encoder.device))[0]
            return hidden
