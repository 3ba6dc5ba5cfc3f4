"""The T5 encoder of families that attend to its padding like to all else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import T5EncoderModel, T5Tokenizer

from rise_stage.engine.families.base import Shared
from rise_stage.engine.families.components import read_tokenizer
from rise_stage.engine.families.text import padded
from rise_stage.engine.families.weights import text_encoder


class T5:
    """Tokenizer and encoder; `most` is what the stock pipeline cuts a text to, an encoder may be good for less."""

    def __init__(self, shared: Shared, suffix: str, most: int) -> None:
        self.tokenizer: Any = read_tokenizer(T5Tokenizer, shared.folder, f"tokenizer{suffix}")
        self.encoder = text_encoder(shared, T5EncoderModel, f"text_encoder{suffix}")
        self._device = shared.device
        self.most_tokens = min(most, int(self.tokenizer.model_max_length))

    @property
    def width(self) -> int:
        return int(self.encoder.config["d_model"])

    def __call__(self, text: str) -> Tensor:
        """The last hidden layer, (1, L, D)."""
        encoded = padded(self.tokenizer, text, self.most_tokens)
        with torch.inference_mode(), self.encoder.use() as encoder:
            hidden: Tensor = encoder(encoded.input_ids.to(self._device))[0]
            return hidden
