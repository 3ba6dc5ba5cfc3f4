"""One loaded denoiser of a family: its network, how it was trained, how much it weighs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rise_contracts.errors import InvalidInput, LatentsDiffer
from rise_contracts.resources import Member as MemberSpec
from rise_stage.engine import stock
from rise_stage.engine.batch import Shapes
from rise_stage.engine.denoiser import Denoiser
from rise_stage.engine.families.base import Conditioning, Family, Shared
from rise_stage.engine.families.components import (
    SCHEDULER_FILE,
    UNET_WEIGHTS,
    read_json,
    read_network,
    weight_bytes,
    weight_files,
)
from rise_stage.engine.families.sources import locate
from rise_stage.engine.latent_contract import differences
from rise_stage.engine.memory import peak_bytes
from rise_stage.engine.parts import Part, weight_of
from rise_stage.engine.schedules import Schedule
from rise_stage.engine.traced import Traced, worthwhile


@dataclass(frozen=True, eq=False)
class Member:
    """A denoiser in memory.

    Attributes:
        scheduler: its scheduler_config.json: the noise it was trained on and what it predicts.
        schedule: its noise levels, for pictures of the family's own size.
        sigma_max: the highest level that it may start from.
    """

    name: str
    network: Traced
    dtype: torch.dtype
    scheduler: dict[str, Any]
    schedule: Schedule
    prediction: str
    sigma_max: float
    nbytes: int
    _row_bytes: dict[Shapes, int] = field(default_factory=dict)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """One forward pass over latents (rows, C, H, W), timesteps (rows,) and `Conditioning.tensors`."""
        return self.network(inputs[0].to(self.dtype), *inputs[1:])

    def row_bytes(self, *inputs: Tensor) -> int:
        """The memory that a row like these takes during a pass. The first time it is measured, by one more pass."""
        shapes = tuple(tuple(tensor.shape[1:]) for tensor in inputs)
        if shapes not in self._row_bytes:
            rows = inputs[0].shape[0]
            with torch.inference_mode():
                x = inputs[0].to(self.dtype)
                _, peak = peak_bytes(lambda: self.network.plain(x, *inputs[1:]), x.device)
            held = sum(tensor.numel() * tensor.element_size() for tensor in inputs)
            self._row_bytes[shapes] = -(-(peak + held) // rows)
        return self._row_bytes[shapes]

    def denoiser(self, conditioning: Conditioning) -> Denoiser[Conditioning]:
        """The member as ``model(x, sigma, timestep) -> denoised`` for these prompts."""
        return Denoiser(self._predict, self.prediction, conditioning, conditioning.guidance)

    def schedule_for(self, tokens: int, steps: int) -> Schedule:
        """Its noise levels for latents of so many tokens, in runs of so many steps."""
        return stock.schedule_of(self.scheduler, tokens, steps) if self.schedule.flow else self.schedule

    def trace(self, x: Tensor, conditioning: Conditioning) -> None:
        """Get ready for latents like x (B, C, H, W) with such conditioning."""
        rows = x.shape[0] * (1 if conditioning.guidance is None else 2)
        example = x.new_zeros((rows, *x.shape[1:]), dtype=self.dtype)
        self.row_bytes(example, x.new_zeros(rows), *conditioning.tensors)
        self.network.trace(example, x.new_zeros(rows), *conditioning.tensors)

    def _predict(self, x: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        return self(x, timesteps, *conditioning.tensors)


def member_part(spec: MemberSpec, family: Family, shared: Shared) -> Part[Member]:
    """A member that is read when first asked for. Raises InvalidInput at once where its files are not whole."""
    folder, subfolder, variant = _place(spec, family, shared)
    files = weight_files(folder, subfolder, UNET_WEIGHTS, variant)
    return Part(
        shared.memory,
        f"member {spec.name}",
        partial(load_member, spec, family, shared),
        lambda member: member.nbytes,
        nbytes=weight_bytes(files, shared.dtype),
    )


def seen_by(spec: MemberSpec, family: Family, shared: Shared) -> Family:
    """The family as a member knows it; see `Family.seen_from`."""
    folder, _, variant = _place(spec, family, shared)
    return family.seen_from(folder, variant)


def load_member(spec: MemberSpec, family: Family, shared: Shared) -> Member:
    """Read a member's weights. Raises InvalidInput, naming what differs, where it does not belong to the family."""
    folder, subfolder, variant = _place(spec, family, shared)
    config = read_json(folder / subfolder / "config.json")
    family = seen_by(spec, family, shared)
    family.check_member(spec.name, config)
    if folder != shared.folder:
        _check_space(spec.name, family, folder, shared.folder)
    scheduler = {**family.spacing, **read_json(_scheduler_file(folder, shared.folder))}
    if stock.is_flow(scheduler) != family.flow:
        wanted = f"{stock.FLOW}, or use_flow_sigmas" if family.flow else "one that is not for flow matching"
        raise InvalidInput(f"member {spec.name} scheduler", wanted, scheduler.get("_class_name"))
    network = read_network(family.network_class, folder, subfolder, variant, shared.dtype).to(shared.device)
    schedule = stock.schedule_of(scheduler, family.tokens(family.size), spec.default_steps)
    nbytes = weight_of(network)
    call = partial(family.predict, network)
    return Member(
        name=spec.name,
        network=Traced(network, call, enabled=worthwhile(shared.device, nbytes)),
        dtype=shared.dtype,
        scheduler=scheduler,
        schedule=schedule,
        prediction=stock.prediction_type(scheduler),
        sigma_max=spec.sigma_max or schedule.sigma_max,
        nbytes=nbytes,
    )


def _place(spec: MemberSpec, family: Family, shared: Shared) -> tuple[Path, str, str | None]:
    """The folder, the subfolder and the variant of a member's weights."""
    subfolder = spec.subfolder or family.network_folder
    if spec.source is None:
        return shared.folder, subfolder, shared.variant
    return locate(spec.source, f"member {spec.name}"), subfolder, spec.source.variant


def _check_space(name: str, family: Family, folder: Path, base: Path) -> None:
    """A member from a folder with a VAE of its own must have been trained on the same latents."""
    if not (folder / "vae" / "config.json").is_file():
        return
    wrong = differences(family.space_of(base), family.space_of(folder))
    if wrong:
        raise LatentsDiffer(f"member {name}", "the latent contract of its family", ", ".join(wrong))


def _scheduler_file(folder: Path, base: Path) -> Path:
    own = folder / SCHEDULER_FILE
    return own if own.is_file() else base / SCHEDULER_FILE
