"""The language models that members of FLUX.2 read prompts with: Mistral 3 for dev, Qwen 3 for klein."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers.pipelines.flux2.system_messages import SYSTEM_MESSAGE
from torch import Tensor
from transformers import AutoTokenizer, Mistral3ForConditionalGeneration, Qwen3ForCausalLM

from rise_contracts.errors import InvalidInput
from rise_stage.engine.families.base import Shared
from rise_stage.engine.families.components import read_json, read_tokenizer
from rise_stage.engine.families.weights import text_encoder

MOST_TOKENS: Final = 512
"""What the stock pipelines cut a text to."""


@dataclass(frozen=True)
class Reader:
    """A kind of language model, and what of it the denoiser attends to.

    Attributes:
        layers: the hidden layers that are put side by side; 0 is the embedding.
        guided: whether members that read with it are guided by a second pass, unless they were distilled.
    """

    model: Any
    layers: tuple[int, int, int]
    guided: bool


READERS: Final = {
    "mistral3": Reader(Mistral3ForConditionalGeneration, (10, 20, 30), guided=False),
    "qwen3": Reader(Qwen3ForCausalLM, (9, 18, 27), guided=True),
}


class ChatEncoder:
    """A language model that is shown the prompt as a message to it."""

    def __init__(self, shared: Shared) -> None:
        folder, self._device = shared.folder, shared.device
        self.kind, self.reader = _reader(folder)
        self.tokenizer = read_tokenizer(AutoTokenizer, folder, "tokenizer")
        if self.tokenizer.chat_template is None:
            where = folder / "tokenizer"
            raise InvalidInput("tokenizer", f"a chat template in {where}", "none", "is the folder whole?")
        self._model = text_encoder(shared, self.reader.model, "text_encoder")
        config = self._model.config.get("text_config", self._model.config)
        if config["num_hidden_layers"] < self.reader.layers[-1]:
            wanted = f"num_hidden_layers {self.reader.layers[-1]} or more in {folder / 'text_encoder'}"
            raise InvalidInput("text_encoder", wanted, config["num_hidden_layers"])
        self.width = len(self.reader.layers) * int(config["hidden_size"])

    def __call__(self, text: str) -> Tensor:
        """Three hidden layers side by side, (1, L, 3D); padding is in it and attended to like all else."""
        message, first = self._message(text), self.tokenizer.bos_token
        encoded = self.tokenizer(
            message,
            padding="max_length",
            max_length=MOST_TOKENS,
            truncation=True,
            add_special_tokens=first is None or not message.startswith(first),
            return_tensors="pt",
        )
        with torch.inference_mode(), self._model.use() as model:
            out = model(
                input_ids=encoded.input_ids.to(self._device),
                attention_mask=encoded.attention_mask.to(self._device),
                output_hidden_states=True,
                use_cache=False,
                logits_to_keep=1,
            )
            return torch.cat([out.hidden_states[layer] for layer in self.reader.layers], dim=-1)

    def _message(self, text: str) -> str:
        """The prompt as the model's chat template puts it."""
        if self.kind == "qwen3":
            shown: str = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            return shown
        system = {"role": "system", "content": [{"type": "text", "text": SYSTEM_MESSAGE}]}
        # The token of a picture would promise one that does not follow.
        user = {"role": "user", "content": [{"type": "text", "text": text.replace("[IMG]", "")}]}
        told: str = self.tokenizer.apply_chat_template([system, user], tokenize=False, add_generation_prompt=False)
        return told


def _reader(folder: Path) -> tuple[str, Reader]:
    kind = str(read_json(folder / "text_encoder" / "config.json").get("model_type"))
    if kind not in READERS:
        wanted = f"model_type {' or '.join(READERS)} in {folder / 'text_encoder'}"
        raise InvalidInput("text_encoder", wanted, kind)
    return kind, READERS[kind]
