"""When a stage in mid-work keeps its latent, what it keeps, and how it goes on from that.

A checkpoint is always fp32 with everything that the solver remembers, whatever the wire's dtype is: a stage that goes
on from one ends bit for bit as if it had never been interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

import torch
from torch import Tensor

from rise_contracts.errors import HandoffRefused, Refusal
from rise_contracts.messages import StageTask
from rise_runtime.seam import Checkpoint, StageContext
from rise_stage.engine.engine import Engine
from rise_stage.engine.latents import Latent, decode_handoff
from rise_stage.engine.run import Step
from rise_stage.engine.schedules import Grid
from rise_stage.handoffs import expected, packed

log = logging.getLogger(__name__)

EVERY_S: Final = 2.0
SHARE: Final = 0.01
"""The most that checkpoints may take of a stage's time."""


@dataclass
class Habit:
    """A worker's, over all its stages.

    Attributes:
        every_s: seconds between two checkpoints of a stage, at least; 0 is no checkpoints.
        making_s: what making the last one took the thread that computes.
        sending_s: what sending one took of the process's time, the last time that this was heard of.
    """

    every_s: float = EVERY_S
    making_s: float = 0.0
    sending_s: float = 0.0

    @property
    def cost_s(self) -> float:
        return self.making_s + self.sending_s


def is_due(step: int, steps: int, since_s: float, habit: Habit) -> bool:
    """Whether to keep the latent after `step` of `steps`, `since_s` seconds after the last one or the stage's start.

    Waiting `cost_s` / `SHARE` for each holds all of them to that share. After the last step the stage hands over.
    """
    return habit.every_s > 0 and step < steps and since_s >= max(habit.every_s, habit.cost_s / SHARE)


def keep(engine: Engine, task: StageTask, step: Step, seconds: float) -> Checkpoint:
    """The checkpoint after `step`, counted from the stage's start. Raises HandoffRefused where it is not finite."""
    header, payload = packed(engine, task, step.latent, "fp32")
    return Checkpoint(header, payload, step.index + 1, seconds)


def resumed(engine: Engine, task: StageTask, checkpoint: Checkpoint, grid: Grid) -> tuple[Latent, Grid]:
    """A checkpoint's latent, and what is left of the stage's `grid`. Raises HandoffRefused for one that is foreign."""
    if not 0 < checkpoint.step < grid.steps:
        raise HandoffRefused(Refusal.STAGE, f"steps done of 1 to {grid.steps - 1}", checkpoint.step)
    level = grid.sigmas[checkpoint.step]
    wanted = expected(engine, task, task.stage_index, "fp32", level)
    latent = decode_handoff(checkpoint.header, checkpoint.payload, wanted)
    if latent.sigma != level:
        raise HandoffRefused(Refusal.SIGMA, f"exactly {level!r}, where step {checkpoint.step} ends", latent.sigma)
    return latent, grid.part(checkpoint.step, grid.steps)


class Keeping:
    """The checkpoints of one stage. All calls come from the thread that computes.

    Attributes:
        done: steps that were made before this delivery.
    """

    def __init__(
        self,
        engine: Engine,
        task: StageTask,
        context: StageContext,
        habit: Habit,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._engine, self._task, self._context, self._habit = engine, task, context, habit
        self._clock = clock
        self._last = clock()
        self._seconds = 0.0
        self.done = 0

    def begin(self, start: Tensor | Latent, grid: Grid) -> tuple[Tensor | Latent, Grid]:
        """Where the stage goes on, and along what: from the checkpoint that it was given, or from `start`."""
        self._last = self._clock()
        checkpoint = self._context.resume
        if checkpoint is None:
            return start, grid
        try:
            latent, rest = resumed(self._engine, self._task, checkpoint, grid)
        except HandoffRefused as refused:
            log.warning("job %s: a checkpoint is not of this stage, which begins anew: %s", self._task.job_id, refused)
            return start, grid
        self.done = self._context.resumed_at = checkpoint.step
        self._seconds = checkpoint.seconds
        return latent, rest

    def counted(self, step: Step) -> Step:
        """The step as one of the whole stage, and not of what was left of it."""
        return replace(step, index=step.index + self.done, steps=step.steps + self.done)

    def note(self, step: Step, seconds: float) -> float:
        """After each counted step, which took `seconds`: keep it if one is due. What that took of this thread."""
        self._seconds += seconds
        habit = self._habit
        habit.sending_s = self._context.keeping_seconds or habit.sending_s
        if not is_due(step.index + 1, step.steps, self._clock() - self._last, habit):
            return 0.0
        _await_accelerator(step.x)
        began = self._clock()
        try:
            self._context.keep(keep(self._engine, self._task, step, self._seconds))
        except HandoffRefused as refused:
            log.warning("job %s: no checkpoint after step %d: %s", self._task.job_id, step.index + 1, refused)
        self._last = self._clock()
        habit.making_s = self._last - began
        return habit.making_s


def _await_accelerator(x: Tensor) -> None:
    """Let the step end where it is still being computed: its time is not the checkpoint's."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)
