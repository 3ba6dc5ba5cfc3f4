"""The family's words as tokens: a CLIP tokenizer whose byte pairs join every word of the vocabulary into one token."""

from __future__ import annotations

import json
import string
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from rise_shapes.grammar import vocabulary

MAX_TOKENS: Final = 32
WIDTH: Final = 128
BOS, EOS = "<|startoftext|>", "<|endoftext|>"


def write_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write vocab.json, merges.txt and the configuration that CLIPTokenizer reads, and load them back.

    Letters are tokens of their own, so that an unknown word costs a few tokens and never fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=4096, min_frequency=1, end_of_word_suffix="</w>", show_progress=False)
    tokenizer.train_from_iterator(sorted(vocabulary()), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    letters = [letter + end for letter in string.ascii_lowercase + string.digits + ",.!?'-" for end in ("", "</w>")]
    names = [BOS, EOS, *dict.fromkeys([*letters, *sorted(model["vocab"], key=model["vocab"].__getitem__)])]
    vocab = {name: index for index, name in enumerate(names)}
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": MAX_TOKENS,
        "bos_token": BOS,
        "eos_token": EOS,
        "pad_token": EOS,
        "unk_token": EOS,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2))
    loaded: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    return loaded


def new_text_encoder(vocab_size: int) -> CLIPTextModel:
    """A two-layer CLIP text model, untrained; it learns together with the large denoiser."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=WIDTH,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )
