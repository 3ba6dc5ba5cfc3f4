"""Decoded pictures to bytes."""

from __future__ import annotations

import io

import torch
from PIL import Image
from torch import Tensor

from rise_contracts.frames import PER_SECOND

PNG_LEVEL = 4
"""zlib's effort: above it, large pictures take several times longer for a few percent of size."""


def to_pixels(decoded: Tensor) -> Tensor:
    """(B, 3, ..., H, W) in [-1, 1] to (B, ..., H, W, 3) uint8 on the CPU, clamped and rounded as stock pipelines do."""
    unit = (decoded * 0.5 + 0.5).clamp(0, 1)
    return (unit.movedim(1, -1).float().cpu() * 255).round().to(torch.uint8).contiguous()


def to_png(pixels: Tensor) -> bytes:
    """One picture (H, W, 3) uint8 as a PNG file; of frames (F, H, W, 3) an animated one.

    Neighbouring frames that are alike are stored once, for the time of both.
    """
    buffer = io.BytesIO()
    first, *others = (Image.fromarray(frame.numpy()) for frame in (pixels if pixels.ndim == 4 else pixels[None]))
    more = {"save_all": True, "append_images": others, "duration": 1000 / PER_SECOND, "loop": 0} if others else {}
    first.save(buffer, "PNG", compress_level=PNG_LEVEL, **more)
    return buffer.getvalue()
