"""What every family can do, and the parts that its members share.

A family's constructor reads configurations and tokenizers, but no weights: text encoders and autoencoder are parts,
made with `text_encoder` and `autoencoder` of `families.weights`, which check at once that their files are whole.

    self._clip = text_encoder(shared, CLIPTextModel, "text_encoder")          # in the constructor
    width = self._clip.config["hidden_size"]                                  # from its config.json, defaults filled in
    with torch.inference_mode(), self._clip.use() as encoder:                 # read here when it is not in memory
        hidden = encoder(ids)[0]

A module outlives its ``with`` only in memory's books: keep what it computed, never the module itself, or it could not
make room for others. Nothing may hold a part's module in a circle, for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from rise_contracts.resources import LatentContract
from rise_stage.engine.parts import Memory


@dataclass(frozen=True)
class TextStates:
    """One text, encoded.

    Attributes:
        hidden: (1, L, D), what the denoiser attends to.
        pooled: (1, P) or None.
        mask: (1, L), 0 where the text is padding; None where padding is attended to like all else.
    """

    hidden: Tensor
    pooled: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Conditioning:
    """What a denoiser is told besides the latent. With guidance 2B rows, the negative ones first, else B.

    Attributes:
        hidden: (rows, L, D).
        pooled: (rows, P), SDXL, SD 3 and FLUX only.
        time_ids: (rows, 6), SDXL only: original size, crop, target size.
        mask: (rows, L), PixArt and Sana only: 0 where the text is padding.
        scale: (rows,), FLUX and FLUX.2 only: the guidance that the denoiser itself is told.
        guidance: the scale of classifier-free guidance, None without it.
    """

    hidden: Tensor
    pooled: Tensor | None = None
    time_ids: Tensor | None = None
    mask: Tensor | None = None
    scale: Tensor | None = None
    guidance: float | None = None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """What there is of hidden, pooled, time_ids, mask and scale, in this order."""
        every = (self.hidden, self.pooled, self.time_ids, self.mask, self.scale)
        return tuple(value for value in every if value is not None)

    def rows(self, images: int) -> Conditioning:
        """The same for `images` pictures per row: every row repeated in place."""
        if images == 1:
            return self
        return Conditioning(
            hidden=self.hidden.repeat_interleave(images, dim=0),
            pooled=_repeated(self.pooled, images),
            time_ids=_repeated(self.time_ids, images),
            mask=_repeated(self.mask, images),
            scale=_repeated(self.scale, images),
            guidance=self.guidance,
        )


def _repeated(value: Tensor | None, times: int) -> Tensor | None:
    return None if value is None else value.repeat_interleave(times, dim=0)


def scale_of(guidance: float, negative: Sequence[TextStates] | None) -> float | None:
    """The scale of classifier-free guidance, which there is none of without `negative`."""
    return None if negative is None else guidance


def told(conditioning: Conditioning, guidance: float) -> Conditioning:
    """The same for a denoiser that is told the guidance: its scale in every row."""
    hidden = conditioning.hidden
    scale = torch.full((hidden.shape[0],), guidance, dtype=torch.float32, device=hidden.device)
    return replace(conditioning, scale=scale)


@dataclass(frozen=True)
class Tiny:
    """Where a family's AutoencoderTiny lies; `always`: pictures are decoded with it, too, and not only previews."""

    folder: Path
    variant: str | None
    always: bool


@dataclass(frozen=True)
class Shared:
    """What the members of a family have in common: the base folder, how tensors are computed with, the memory.

    Attributes:
        memory: of the device.
        host: where text encoders and autoencoders rest while they are not used; None: where the denoisers are.
        tiny: None where the family has no AutoencoderTiny.
    """

    folder: Path
    variant: str | None
    device: torch.device
    dtype: torch.dtype
    memory: Memory = field(default_factory=Memory)
    host: Memory | None = None
    tiny: Tiny | None = None


class Family(Protocol):
    """An architecture with its shared parts, whose weights are read when first used.

    Attributes:
        network_class: the diffusers class of its denoisers.
        network_folder: where a diffusers folder of it keeps the denoiser.
        guided: whether guidance is classifier-free, by a second pass; else it is an input of the denoiser.
        flow: whether its denoisers are trained on flow matching.
        instructed: whether a text is encoded otherwise as a prompt than as what guidance leads away from.
        spacing: options of the scheduler that the stock pipeline sets, where its configuration does not.
        size: (width, height) of its pictures where nothing else is asked for.
    """

    network_class: ClassVar[Any]
    network_folder: ClassVar[str]
    guided: bool
    flow: ClassVar[bool]
    instructed: ClassVar[bool]
    spacing: ClassVar[Mapping[str, Any]]
    latent: LatentContract
    size: tuple[int, int]

    @property
    def cell(self) -> int:
        """What the sides of a picture are multiples of, in pixels: that of one token of the denoiser."""
        ...

    def tokens(self, size: tuple[int, int]) -> int:
        """How many tokens the denoiser sees a picture of `size`, or one frame of the latent, as."""
        ...

    def seen_from(self, folder: Path, variant: str | None) -> Family:
        """The family as members from `folder` know it: itself, but where they bring text encoders of their own."""
        ...

    def encode_text(self, text: str) -> TextStates:
        """One prompt, cut where the encoder ends."""
        ...

    def negative_states(self, text: str, positive: TextStates) -> TextStates:
        """What guidance leads away from; an empty `text` is none given."""
        ...

    def conditioning(
        self,
        states: Sequence[TextStates],
        negative: Sequence[TextStates] | None,
        guidance: float,
        size: tuple[int, int],
    ) -> Conditioning:
        """Join encoded prompts, one row each. `size` is (width, height) in pixels.

        With `negative` guidance is classifier-free; without, it is at most told to the denoiser.
        """
        ...

    def check_member(self, name: str, config: dict[str, Any]) -> None:
        """Raise InvalidInput, naming what differs, unless a denoiser with `config` fits the shared parts."""
        ...

    def space_of(self, folder: Path) -> dict[str, Any]:
        """What of the autoencoder in `folder` decides what a latent means, by name."""
        ...

    def predict(self, network: Any, *inputs: Tensor) -> Tensor:
        """One forward pass over latents (rows, C, ..., H, W), timesteps (rows,) and `Conditioning.tensors`."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Clean latents (B, C, H, W) to pictures (B, 3, height, width) in [-1, 1], before any clamping.

        Of a family of videos (B, C, F, H, W) to (B, 3, frames, height, width).
        """
        ...

    def preview(self, latents: Tensor) -> Tensor:
        """The same, with the tiny autoencoder where the family has one."""
        ...

    @property
    def decoder_bytes(self) -> int:
        """What the autoencoder weighs that pictures are decoded with."""
        ...

    def trace_decoder(self, latents: Tensor) -> None:
        """Get ready to decode latents of this shape quickly."""
        ...

    def latent_digest(self) -> str:
        """SHA-256 hex of everything that two sides must share to understand each other's latents."""
        ...
