"""Prompts as encoders take them: padded to the length that the stock pipeline gives them."""

from __future__ import annotations

from typing import Any

import torch

from rise_stage.engine.families.base import TextStates
from rise_stage.engine.parts import Part


def padded(tokenizer: Any, text: str, most: int) -> Any:
    """The token ids and the attention mask of one text, (1, `most`) each; what is longer is cut."""
    return tokenizer([text], padding="max_length", max_length=most, truncation=True, return_tensors="pt")


def masked_states(tokenizer: Any, part: Part[Any], text: str, most: int, device: torch.device) -> TextStates:
    """The last hidden layer of an encoder that attends to no padding, with the mask that says where it is."""
    encoded = padded(tokenizer, text, most)
    mask = encoded.attention_mask.to(device)
    with torch.inference_mode(), part.use() as encoder:
        return TextStates(encoder(encoded.input_ids.to(device), attention_mask=mask)[0], mask=mask)
