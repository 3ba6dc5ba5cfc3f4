"""PixArt-Sigma: one T5 encoder, whose padding is masked, a transformer, a KL autoencoder."""

from __future__ import annotations

from typing import Any, Final

from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel
from torch import Tensor
from transformers import T5EncoderModel, T5Tokenizer

from rise_contracts.errors import InvalidInput
from rise_stage.engine.families.base import Shared, TextStates
from rise_stage.engine.families.components import read_tokenizer
from rise_stage.engine.families.kl import KlFamily, check_fits, check_variance
from rise_stage.engine.families.text import masked_states
from rise_stage.engine.families.weights import text_encoder

MOST_TOKENS: Final = 300
"""What PixArt-Sigma was trained with, and the stock pipeline's default; an encoder may be good for fewer."""
MICRO_CONDITIONED: Final = 128
"""The sample size at which diffusers takes a transformer for one that is told resolution and aspect ratio."""


class PixArt(KlFamily):
    """The shared parts of a PixArt-Sigma family."""

    network_class = PixArtTransformer2DModel
    network_folder = "transformer"
    patch = 2

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.tokenizer = read_tokenizer(T5Tokenizer, shared.folder, "tokenizer")
        self._t5 = text_encoder(shared, T5EncoderModel, "text_encoder")
        self.most_tokens = min(MOST_TOKENS, int(self.tokenizer.model_max_length))

    def encode_text(self, text: str) -> TextStates:
        """The last hidden layer; in lower case, as the stock pipeline has it."""
        return masked_states(self.tokenizer, self._t5, text.lower().strip(), self.most_tokens, self.shared.device)

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        wanted = {"in_channels": self.latent.channels, "caption_channels": int(self._t5.config["d_model"])}
        check_fits(name, wanted, config)
        check_variance(name, self.latent, config)
        told = config.get("use_additional_conditions")
        if told or (told is None and config.get("sample_size") == MICRO_CONDITIONED):
            hint = "PixArt-Sigma transformers are not told; PixArt-Alpha's are, and are not served"
            raise InvalidInput(f"member {name}", "use_additional_conditions false", told, hint)

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        x, timesteps, hidden, mask = inputs
        predicted: Tensor = network(
            x,
            encoder_hidden_states=hidden,
            encoder_attention_mask=mask,
            timestep=timesteps,
            added_cond_kwargs={"resolution": None, "aspect_ratio": None},
            return_dict=False,
        )[0]
        return predicted[:, : x.shape[1]]
