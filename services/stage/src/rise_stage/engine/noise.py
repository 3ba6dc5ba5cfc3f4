"""The noise that a picture begins with: a function of its seed alone, the same on every machine and in any batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SEED_LIMIT = 2**63


def image_seeds(seed: int, images: int) -> tuple[int, ...]:
    """The seeds of a job's images: its seed counted upwards, around the end of the range."""
    return tuple((seed + index) % SEED_LIMIT for index in range(images))


def unit_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Standard normal latents, (B, *shape) float32 on the CPU, one generator per row.

    This is what a stock pipeline draws with ``generator=[torch.Generator().manual_seed(s) for s in seeds]``.
    """
    rows = [torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(rows)
