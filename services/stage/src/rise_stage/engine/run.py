"""The loop over a grid. It asks for what a denoiser makes of a latent, and says after each step where it landed.

So whoever drives it can stop, show or record between two steps, and can answer many such loops with one forward pass.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor

from rise_contracts.errors import HandoffRefused, Refusal
from rise_contracts.model import Solver
from rise_stage.engine.latents import Latent, finite
from rise_stage.engine.levels import FORMS, Form, Level, flow_level, from_ve, level_of, level_of_alpha_bar, to_ve
from rise_stage.engine.schedules import Grid
from rise_stage.engine.solvers import ASKS_AGAIN, Move, Past, Prediction, step

Model = Callable[[Tensor, Level, Tensor, Form], Prediction]
"""(x (B, C, H, W), its level, timestep (B,), its form) -> clean and noise: what answers a `Question`."""


class Question(NamedTuple):
    """What does the denoiser make of x (B, C, H, W), which is at `level` in `form`? `timestep` is (B,)."""

    x: Tensor
    level: Level
    timestep: Tensor
    form: Form


@dataclass(frozen=True)
class Step:
    """One step that was made.

    Attributes:
        index: 0 … steps - 1.
        x: (B, C, H, W), where the step ended, in the solver's own form. After the last step of a job it is what
            the decoder takes.
        level: the level that x is at.
        predicted: what the model made of the latent at the step's start; `predicted.clean` is the preview.
        past: the solver's memory after the step.
        seconds: wall time of the step.
    """

    index: int
    steps: int
    x: Tensor
    form: Form
    level: Level
    sigma: float
    predicted: Prediction
    past: Past | None
    seconds: float

    @property
    def latent(self) -> Latent:
        """The latent as it is handed over: in VE form, with all that is needed to go on as if nothing had been."""
        if self.form == "ve":
            return Latent(self.x, self.sigma, self.past)
        with torch.inference_mode():
            x, lost = to_ve(self.x, self.level.alpha)
        return Latent(x, self.sigma, self.past, lost)


class Intensity(NamedTuple):
    """How strong predicted clean latents are, one value per row: what the paper compares across a handoff."""

    mean: list[float]
    std: list[float]
    norm: list[float]


Walk = Generator["Question | Step", Prediction | None, None]


def walk_grid(start: Tensor | Latent, grid: Grid, solver: Solver, clock: Callable[[], float] = perf_counter) -> Walk:
    """Walk `grid` from unit noise (B, C, H, W), or from a latent at its start.

    Yields a Question, which wants to be sent its Prediction, once or (Heun) twice before each Step. A Step's seconds
    are those that passed, whoever else was served meanwhile. Closing the walk stops it within one step.

    Raises HandoffRefused where what a latent brings along does not fit it.
    """
    form: Form = "flow" if grid.flow else FORMS[solver]
    levels = _levels(grid, grid.sigmas, grid.alpha_bars)
    targets = _levels(grid, grid.targets, grid.target_alpha_bars)
    x, past = _begin(start, grid, form, levels[0])
    timesteps = torch.tensor((*grid.timesteps, grid.end_timestep), dtype=torch.float32, device=x.device)

    def about(latent: Tensor, level: Level, index: int) -> Question:
        return Question(latent, level, timesteps[index].expand(latent.shape[0]), form)

    for i in range(grid.steps):
        began = clock()
        last = grid.first_order_end and i == grid.steps - 1
        predicted = yield about(x, levels[i], i)
        assert predicted is not None
        move = Move(x, predicted, levels[i], targets[i], form, past, last)
        # The mode is entered in between: a generator must not leave its caller in it when it yields.
        with torch.inference_mode():
            x, past = step(solver, move)
        if solver in ASKS_AGAIN and not last:
            landed = yield about(x, targets[i], i + 1)
            with torch.inference_mode():
                x, past = step(solver, move._replace(landed=landed))
        yield Step(i, grid.steps, x, form, levels[i + 1], grid.sigmas[i + 1], predicted, past, clock() - began)


def run_grid(
    model: Model, start: Tensor | Latent, grid: Grid, solver: Solver, clock: Callable[[], float] = perf_counter
) -> Iterator[Step]:
    """`walk_grid` with every question answered by `model` at once: the steps alone."""
    walk = walk_grid(start, grid, solver, clock)
    answer: Prediction | None = None
    with contextlib.suppress(StopIteration):
        while True:
            said = walk.send(answer)
            if isinstance(said, Step):
                yield said
                answer = None
            else:
                with torch.inference_mode():
                    answer = model(*said)


def intensity(clean: Tensor) -> Intensity:
    """Mean, standard deviation and Euclidean norm of each row of a predicted clean latent (B, C, H, W)."""
    flat = clean.float().flatten(1)
    return Intensity(flat.mean(1).tolist(), flat.std(1).tolist(), flat.norm(dim=1).tolist())


def _levels(grid: Grid, sigmas: tuple[float, ...], alpha_bars: tuple[float, ...] | None) -> list[Level]:
    if grid.flow:
        return [flow_level(sigma) for sigma in sigmas]
    tensors = torch.tensor(sigmas, dtype=torch.float32)
    if alpha_bars is None:
        return [level_of(sigma) for sigma in tensors]
    bars = torch.tensor(alpha_bars, dtype=torch.float32)
    return [level_of_alpha_bar(sigma, bar) for sigma, bar in zip(tensors, bars, strict=True)]


def _begin(start: Tensor | Latent, grid: Grid, form: Form, level: Level) -> tuple[Tensor, Past | None]:
    if isinstance(start, Tensor):
        return start * grid.start_scale, None
    x = start.x if form == "ve" else from_ve(start.x, level.alpha, start.lost)
    if start.lost is not None and not finite(x):
        raise HandoffRefused(Refusal.NOT_FINITE, "what rounding took from finite numbers", "one that makes them NaN")
    past = start.past
    return x, None if past is None else past.changed(lambda tensor: tensor.to(x.device))
