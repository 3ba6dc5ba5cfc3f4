"""The one training loop: seeded by step, averaged weights, checkpoints that resume, a log of losses."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn
from tqdm import tqdm

from rise_shapes.training.muon import Muon

CHECKPOINT_SECONDS = 60.0
TABLES = ("shared.weight", "embed_tokens.weight", "relative_attention_bias.weight", "scale_shift_table")
"""Parameters of two dimensions that are no matrices: rows that are looked up or added."""


@dataclass
class Stage:
    """One training run: what is trained, on what loss, for how long.

    Attributes:
        name: folder and log name.
        model: everything that has weights to train.
        loss: step generator -> named losses; their sum is minimised.
        steps: optimiser steps.
        lr: peak learning rate of the vectors (AdamW); matrices take ``muon_lr`` (Muon), 0 for AdamW alone.
    """

    name: str
    model: nn.Module
    loss: Callable[[torch.Generator], dict[str, torch.Tensor]]
    steps: int
    lr: float = 1e-3
    muon_lr: float = 0.0
    warmup: int = 50
    decay: float = 0.3
    ema: float = 0.998
    seed: int = 0
    device: str = "cpu"
    on_checkpoint: Callable[[int], None] | None = None
    averaged: dict[str, torch.Tensor] = field(default_factory=dict)


def half_dtype(device: str) -> torch.dtype:
    """bfloat16 where the machine computes in it, else float32."""
    return torch.bfloat16 if device != "cpu" or torch.cpu._is_avx512_bf16_supported() else torch.float32


def rate(stage: Stage, step: int) -> float:
    """Learning rate factor: linear warm-up, a plateau, a linear decay over the last ``decay`` share."""
    left = (stage.steps - step) / max(1.0, stage.decay * stage.steps)
    return min(1.0, (step + 1) / stage.warmup, left)


def run_stage(stage: Stage, folder: Path) -> dict[str, torch.Tensor]:
    """Train to the end (or on from the last checkpoint) and return the averaged weights."""
    folder = folder / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    rank, world = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    optimisers = Optimisers(stage)
    start = _resume(stage, optimisers, folder)
    names = dict(stage.model.named_parameters())
    generator = torch.Generator()
    log = (folder / "log.jsonl").open("a") if rank == 0 else None
    saved = began = time.monotonic()
    stage.model.train()
    bar = tqdm(
        range(start, stage.steps), initial=start, total=stage.steps, desc=stage.name, mininterval=5, disable=rank > 0
    )
    for step in bar:
        generator.manual_seed((stage.seed * 1_000_003 + step) * world + rank)
        losses = stage.loss(generator)
        torch.stack(list(losses.values())).sum().backward()
        if world > 1:
            _average_gradients(stage.model, world)
        nn.utils.clip_grad_norm_(stage.model.parameters(), 1.0)
        optimisers.step(rate(stage, step))
        decay = min(stage.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_([stage.averaged[n] for n in names], [p.detach() for p in names.values()], 1 - decay)
        if log is None:
            continue
        if step % 10 == 0:
            row = {name: round(value.item(), 5) for name, value in losses.items()}
            bar.set_postfix(row, refresh=False)
            log.write(json.dumps({"step": step, "seconds": round(time.monotonic() - began, 1), **row}) + "\n")
            log.flush()
        if time.monotonic() - saved > CHECKPOINT_SECONDS or step + 1 == stage.steps:
            _save(stage, optimisers, folder, step + 1)
            saved = time.monotonic()
            if stage.on_checkpoint:
                stage.on_checkpoint(step + 1)
    if log is not None:
        log.close()
    if world > 1:
        dist.barrier()  # what comes next may read the checkpoint that the first has just written
    return stage.averaged


def _average_gradients(model: nn.Module, world: int) -> None:
    """Mean over the processes, in one message."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([g.permute(0, 2, 3, 1).reshape(-1) if g.ndim == 4 else g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= world
    for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
        target = gradient.permute(0, 2, 3, 1) if gradient.ndim == 4 else gradient
        target.copy_(part.view(target.shape))


class Optimisers:
    """Muon for matrices (convolutions flattened), AdamW for the rest."""

    def __init__(self, stage: Stage) -> None:
        parameters = [p for p in stage.model.parameters() if p.requires_grad]
        named = [(n, p) for n, p in stage.model.named_parameters() if p.requires_grad]
        matrices = [p for n, p in named if p.ndim >= 2 and not n.endswith(TABLES)]
        if not stage.muon_lr:
            matrices = []
        chosen = {id(p) for p in matrices}
        rest = [p for p in parameters if id(p) not in chosen]
        self.pairs = [(p, nn.Parameter(_as_matrix(p.detach()))) for p in matrices]
        self.all: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(rest, lr=stage.lr, betas=(0.9, 0.98), weight_decay=0.0)
        ]
        if matrices:
            flat = [view for _, view in self.pairs]
            self.all.append(Muon(flat, lr=stage.muon_lr, dtype=half_dtype(stage.device)))
        self.peaks = [stage.lr, stage.muon_lr]

    def step(self, factor: float) -> None:
        """One update at ``factor`` of the peak rates; gradients are cleared."""
        for parameter, view in self.pairs:
            view.grad = None if parameter.grad is None else _as_matrix(parameter.grad)
        for optimiser, peak in zip(self.all, self.peaks, strict=False):
            for group in optimiser.param_groups:
                group["lr"] = peak * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        for parameter, _ in self.pairs:
            parameter.grad = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """The state as flat tensors, for safetensors."""
        out: dict[str, torch.Tensor] = {}
        for i, optimiser in enumerate(self.all):
            for index, state in optimiser.state_dict()["state"].items():
                out |= {f"optimiser.{i}.{index}.{key}": torch.as_tensor(value) for key, value in state.items()}
        return out

    def load(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        for i, optimiser in enumerate(self.all):
            state: dict[int, dict[str, torch.Tensor]] = {}
            for name, value in tensors.items():
                _, which, index, key = name.split(".")
                if int(which) == i:
                    state.setdefault(int(index), {})[key] = value
            optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _as_matrix(weight: torch.Tensor) -> torch.Tensor:
    """(out, everything else), sharing memory with a weight that is contiguous or channels-last."""
    return (weight.permute(0, 2, 3, 1) if weight.ndim == 4 else weight).flatten(1)


def _save(stage: Stage, optimisers: Optimisers, folder: Path, step: int) -> None:
    tensors = {f"model.{n}": p for n, p in stage.model.state_dict().items()}
    tensors |= {f"averaged.{n}": p for n, p in stage.averaged.items()} | optimisers.tensors()
    temporary = folder / "checkpoint.partial"
    save_file({n: t.detach().clone().contiguous() for n, t in tensors.items()}, temporary, {"step": str(step)})
    temporary.replace(folder / "checkpoint.safetensors")
    (folder / "step").write_text(str(step))


def _resume(stage: Stage, optimisers: Optimisers, folder: Path) -> int:
    stage.averaged.update({n: p.detach().clone() for n, p in stage.model.named_parameters()})
    file = folder / "checkpoint.safetensors"
    if not file.exists():
        return 0
    tensors = load_file(file)
    stage.model.load_state_dict(_under(tensors, "model."))
    stage.averaged.update(_under(tensors, "averaged."))
    optimisers.load({n: t for n, t in tensors.items() if n.startswith("optimiser.")})
    return int((folder / "step").read_text())


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


@torch.no_grad()
def put(module: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Copy ``tensors`` into the parameters of their names.

    Not `load_state_dict`, which wants tied parameters under each of their names, and constants too.
    """
    own = dict(module.named_parameters())
    if set(tensors) != set(own):
        different = min(set(tensors) ^ set(own))
        raise KeyError(f"wanted the parameters of a {type(module).__name__}, got others: {different} is in one only")
    for name, tensor in tensors.items():
        own[name].copy_(tensor)


def load_averaged(module: nn.Module, folder: Path, names: Iterable[str] = ()) -> None:
    """Put the averaged weights of a stage, or what lies under ``names`` in them, into ``module``."""
    tensors = _under(load_file(folder / "checkpoint.safetensors"), "averaged.")
    for name in names:
        tensors = _under(tensors, f"{name}.")
    put(module, tensors)
