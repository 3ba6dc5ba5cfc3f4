"""Latents as fewer bits, for the wire. Pure; every conversion and its inverse."""

from __future__ import annotations

import torch
from torch import Tensor

from rise_contracts.model import WireDtype

FLOATS: dict[str, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
STORED: dict[str, torch.dtype] = {**FLOATS, "q8": torch.int8}
LEVELS = 127
SCALE = ".scale"


def pack(name: str, x: Tensor, dtype: WireDtype) -> dict[str, Tensor]:
    """The tensors that stand for x (B, C, ...) on the wire: itself as `dtype`, and its scales where that is 8-bit."""
    if dtype != "q8":
        return {name: x.detach().to("cpu", FLOATS[dtype]).contiguous()}
    scale = x.detach().float().abs().flatten(2).amax(-1).cpu() / LEVELS  # (B, C)
    shaped = scale.clamp(min=torch.finfo(torch.float32).tiny).view(*scale.shape, *[1] * (x.ndim - 2))
    rounded = (x.detach().float().cpu() / shaped).round().clamp(-LEVELS, LEVELS).to(torch.int8)
    return {name: rounded.contiguous(), name + SCALE: scale}


def unpack(name: str, tensors: dict[str, Tensor], dtype: WireDtype) -> Tensor:
    """The float32 tensor that `pack` was given, as near as `dtype` keeps it."""
    stored = tensors[name]
    if dtype != "q8":
        return stored.float()
    scale = tensors[name + SCALE]
    return stored.float() * scale.view(*scale.shape, *[1] * (stored.ndim - 2))


def packed_names(names: tuple[str, ...], dtype: WireDtype) -> set[str]:
    """The names that `pack` makes of `names`."""
    return {*names, *(name + SCALE for name in names)} if dtype == "q8" else set(names)
