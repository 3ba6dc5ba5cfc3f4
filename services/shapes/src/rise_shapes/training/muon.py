"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon), its work shared by the processes.

torch.optim.Muon orthogonalises in bfloat16 everywhere, which takes sixty times as long as float32 on a processor
without it, and 0.4 of the time on one with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import torch
import torch.distributed as dist

ITERATIONS: Final = 5
QUINTIC: Final = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Momentum whose every update is made (nearly) orthogonal; for matrices alone.

    Updates are scaled so that a learning rate means what it means to AdamW (Liu et al. 2025, arXiv 2502.16982).
    ``dtype`` is that of the orthogonalisation, which bfloat16 is exact enough for.
    """

    def __init__(
        self,
        matrices: Iterable[torch.Tensor],
        lr: float,
        momentum: float = 0.95,
        decay: float = 0.01,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "decay": decay})
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update. All processes must hold the same gradients."""
        rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
        for group in self.param_groups:
            wanted = [p for p in group["params"] if p.grad is not None]
            directions = [self._direction(p, group["momentum"]).to(self._dtype) for p in wanted]
            updates = [torch.zeros_like(d) for d in directions] if world > 1 else list(directions)
            for rows in _by_shape(directions):
                mine = rows[rank::world]
                if mine:
                    for row, update in zip(mine, orthogonal(torch.stack([directions[i] for i in mine])), strict=True):
                        updates[row] = update
            if world > 1:
                flat = torch.cat([update.flatten() for update in updates])
                dist.all_reduce(flat)
                parts = flat.split([update.numel() for update in updates])
                updates = [part.view_as(update) for part, update in zip(parts, updates, strict=True)]
            for parameter, update in zip(wanted, updates, strict=True):
                parameter.mul_(1 - group["lr"] * group["decay"])
                parameter.add_(update, alpha=-group["lr"] * 0.2 * max(parameter.shape) ** 0.5)

    def _direction(self, parameter: torch.Tensor, momentum: float) -> torch.Tensor:
        assert parameter.grad is not None
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        buffer: torch.Tensor = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(buffer, momentum)


def _by_shape(tensors: list[torch.Tensor]) -> list[list[int]]:
    rows = defaultdict(list)
    for index, tensor in enumerate(tensors):
        rows[tensor.shape].append(index)
    return list(rows.values())


def orthogonal(stack: torch.Tensor) -> torch.Tensor:
    """The nearest semi-orthogonal matrix of each of (N, rows, columns), roughly: singular values in 0.7..1.2."""
    tall = stack.shape[1] > stack.shape[2]
    x = stack.mT if tall else stack
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = QUINTIC
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    found: torch.Tensor = x.mT if tall else x
    return found
