"""Text encoders and autoencoders as parts: their files are checked at once, their weights are read when first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from rise_stage.engine.families.base import Shared
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
from rise_stage.engine.parts import Part, weight_of

M = TypeVar("M", bound=nn.Module)


def _bare(network: Any) -> Any:
    return network


def text_encoder(shared: Shared, kind: Any, subfolder: str) -> Part[Any]:
    """A transformers model of the base folder. Raises InvalidInput where the folder does not hold a whole one."""
    files = weight_files(shared.folder, subfolder, TEXT_WEIGHTS, shared.variant)

    def read() -> Any:
        encoder = read_text_encoder(kind, shared.folder, subfolder, shared.variant, shared.dtype)
        return encoder.to(shared.device)

    return Part(
        shared.memory,
        subfolder,
        read,
        weight_of,
        nbytes=weight_bytes(files, shared.dtype),
        config=text_config(kind, shared.folder, subfolder),
    )


def autoencoder(
    shared: Shared, kind: Any, subfolder: str, dtype: torch.dtype, wrapped: Callable[[Any], M] = _bare
) -> Part[M]:
    """A diffusers model of the base folder, as the module that `wrapped` makes of it; errors as of `text_encoder`."""
    files = weight_files(shared.folder, subfolder, UNET_WEIGHTS, shared.variant)

    def read() -> M:
        return wrapped(read_network(kind, shared.folder, subfolder, shared.variant, dtype).to(shared.device))

    return Part(
        shared.memory,
        subfolder,
        read,
        weight_of,
        nbytes=weight_bytes(files, dtype),
        config=network_config(kind, shared.folder, subfolder),
    )
