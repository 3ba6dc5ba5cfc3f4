"""Tiny language models of the two kinds that FLUX.2 reads prompts with, and tokenizers that spell."""

from __future__ import annotations

import string
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PreTrainedTokenizerFast,
    Qwen2TokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

WIDTH = 16
TEMPLATES = {
    "mistral3": "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content[0].text }}{% endfor %}",
    "qwen3": "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}{% if not enable_thinking %}[quiet]{% endif %}",
}
"""What the real ones do in more words: who speaks, and that an answer is due."""
LETTERS = ["<pad>", "<s>", "<unk>", *string.ascii_letters, *" .,[]:;-\n", "\u0120", "\u010a"]


def mistral3() -> tuple[Any, Any]:
    """A model and its tokenizer. The last layer that is read is the 30th."""
    torch.manual_seed(4)
    text = _sizes(31) | {"model_type": "mistral", "head_dim": 8, "sliding_window": None}
    vision = {
        "model_type": "pixtral",
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "head_dim": 8,
        "image_size": 16,
        "patch_size": 8,
    }
    model = Mistral3ForConditionalGeneration(Mistral3Config(text_config=text, vision_config=vision))
    spelling = Tokenizer(models.WordLevel(_vocabulary(), unk_token="<unk>"))
    spelling.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    words = PreTrainedTokenizerFast(
        tokenizer_object=spelling, bos_token="<s>", pad_token="<pad>", unk_token="<unk>", padding_side="left"
    )
    words.chat_template = TEMPLATES["mistral3"]
    return model, words


def qwen3(seed: int = 5, layers: int = 28) -> tuple[Any, Any]:
    """A model and its tokenizer. The last layer that is read is the 27th."""
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(Qwen3Config(**_sizes(layers), head_dim=8, tie_word_embeddings=True))
    words = Qwen2TokenizerFast(vocab=_vocabulary(), merges=[], pad_token="<pad>", unk_token="<unk>")
    words.chat_template = TEMPLATES["qwen3"]
    return model, words


def _vocabulary() -> dict[str, int]:
    return {letter: index for index, letter in enumerate(LETTERS)}


def _sizes(layers: int) -> dict[str, Any]:
    return {
        "vocab_size": len(LETTERS),
        "hidden_size": WIDTH,
        "intermediate_size": 2 * WIDTH,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
    }
