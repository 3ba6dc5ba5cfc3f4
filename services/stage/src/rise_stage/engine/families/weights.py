"""Text encoders and autoencoders as parts: their files are checked at once, their weights are read when first used."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny
from torch import nn

from rise_stage.engine.families.base import Shared, Tiny
from rise_stage.engine.families.components import (
    TEXT_WEIGHTS,
    UNET_WEIGHTS,
    network_config,
    read_network,
    read_text_encoder,
    text_config,
    weight_bytes,
    weight_files,
)
from rise_stage.engine.parts import Part, lent, weight_of

M = TypeVar("M", bound=nn.Module)


def text_encoder(shared: Shared, kind: Any, subfolder: str) -> Part[Any]:
    """A transformers model of the base folder. Raises InvalidInput where the folder does not hold a whole one."""
    files = weight_files(shared.folder, subfolder, TEXT_WEIGHTS, shared.variant)
    config = text_config(kind, shared.folder, subfolder)

    def read() -> Any:
        return read_text_encoder(kind, shared.folder, subfolder, shared.variant, shared.dtype)

    return _part(shared, subfolder, read, weight_bytes(files, shared.dtype), config)


def autoencoder(shared: Shared, kind: Any, subfolder: str, dtype: torch.dtype, wrapped: Callable[[Any], M]) -> Part[M]:
    """A diffusers model of the base folder, as the module that `wrapped` makes of it; errors as of `text_encoder`."""
    return _autoencoder(shared, kind, (shared.folder, subfolder, shared.variant), dtype, wrapped)


def tiny_autoencoder(shared: Shared, tiny: Tiny, wrapped: Callable[[Any], M]) -> Part[M]:
    """The AutoencoderTiny of a family, which lies at the top of a folder of its own."""
    return _autoencoder(shared, AutoencoderTiny, (tiny.folder, "", tiny.variant), shared.dtype, wrapped)


def _autoencoder(
    shared: Shared, kind: Any, place: tuple[Path, str, str | None], dtype: torch.dtype, wrapped: Callable[[Any], M]
) -> Part[M]:
    folder, subfolder, variant = place
    files = weight_files(folder, subfolder, UNET_WEIGHTS, variant)
    config = network_config(kind, folder, subfolder)

    def read() -> M:
        return wrapped(read_network(kind, folder, subfolder, variant, dtype))

    return _part(shared, subfolder or "tiny vae", read, weight_bytes(files, dtype), config)


def _part(shared: Shared, name: str, read: Callable[[], M], nbytes: int, config: dict[str, Any]) -> Part[M]:
    """On the device, or resting in the host's memory and lent to the device for each use."""
    if shared.host is None:
        memory = shared.memory
        return Part(memory, name, lambda: read().to(shared.device), weight_of, nbytes=nbytes, config=config)
    lend = partial(lent, device=shared.device, memory=shared.memory)
    return Part(shared.host, name, read, weight_of, nbytes=nbytes, config=config, lend=lend)
