"""The family's words as tokens, and the encoder that reads them: T5's, small, and whole words its pieces."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.nn import functional as F
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from rise_shapes.grammar import vocabulary
from rise_shapes.training.data import ALONE, CELLS, TRAITS, Batch, LatentSet

MAX_TOKENS: Final = 24
WIDTH: Final = 128
SPECIAL: Final = ("<pad>", "</s>", "<unk>")


def write_tokenizer(folder: Path) -> T5Tokenizer:
    """Write the tokenizer, and load it back.

    Letters are pieces of their own, so that an unknown word costs a few tokens and never fails.
    """
    pieces = [(name, 0.0) for name in SPECIAL]
    pieces += [(f"\u2581{word}", -1.0) for word in sorted(vocabulary())]
    pieces += [("\u2581", -8.0), *((letter, -10.0) for letter in string.ascii_lowercase + string.digits + ",.!?'-")]
    known: dict[str, float] = {}
    for name, score in pieces:
        known.setdefault(name, score)
    T5Tokenizer(vocab=list(known.items()), extra_ids=0, model_max_length=MAX_TOKENS).save_pretrained(folder)
    loaded: T5Tokenizer = T5Tokenizer.from_pretrained(folder)
    return loaded


def new_text_encoder(vocab_size: int) -> T5EncoderModel:
    """Three layers that read in both directions, untrained; it learns together with the large denoiser."""
    return T5EncoderModel(
        T5Config(
            vocab_size=vocab_size,
            d_model=WIDTH,
            d_kv=32,
            d_ff=2 * WIDTH,
            num_layers=3,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
        )
    )


def read(text: T5EncoderModel, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states (B, T, WIDTH) and mask (B, T) of token ids; 0 is padding."""
    mask = (tokens != 0).float()
    return text(tokens, attention_mask=mask).last_hidden_state, mask


KINDS: Final = (*(len(options) for options in TRAITS), ALONE + 1)
"""Classes of each thing that a listener tells apart: of its traits, and of its role."""


class Listener(nn.Module):
    """The text encoder on its own, asked by the word for a thing's colour where the thing is, and what it is like.

    An encoder taught by the picture alone finds out late what a relation means, for nothing but the layout depends on
    it, and that only at the highest noise levels.
    """

    def __init__(self, text: T5EncoderModel) -> None:
        super().__init__()
        self.text, self.listener = text, nn.Linear(WIDTH, CELLS + sum(KINDS))

    def forward(self, tokens: torch.Tensor, named: torch.Tensor) -> torch.Tensor:
        """Logits (B, 2, CELLS + sum(KINDS)) of what the words at ``named`` (B, 2) say of their things."""
        hidden, _ = read(self.text, tokens)
        rows = torch.arange(len(named), device=hidden.device)[:, None]
        said: torch.Tensor = self.listener(hidden[rows, named.clamp(min=0)])
        return said

    def loss(self, data: LatentSet, batch: int, device: str, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The listening loss of a batch of captions."""
        drawn = Batch(*(part.to(device) for part in data.batch(batch, generator)))
        return listening_loss(self(drawn.tokens, drawn.named), drawn)


def listening_loss(said: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
    """Cross-entropy of the cells that a thing covers, which falls as far as the words go, and of what it is like."""
    there = batch.named >= 0
    share = batch.covers / batch.covers.sum(-1, keepdim=True).clamp(min=1e-6)
    place = -(share * said[..., :CELLS].log_softmax(-1)).sum(-1)
    kind = torch.zeros_like(place)
    wanted = (*batch.traits.unbind(-1), batch.roles)
    for part, answer in zip(said[..., CELLS:].split(KINDS, dim=-1), wanted, strict=True):
        kind = kind + F.cross_entropy(part.movedim(-1, 1), answer, reduction="none")
    count = there.sum().clamp(min=1)
    return {"place": (place * there).sum() / count, "kind": (kind * there).sum() / count}
