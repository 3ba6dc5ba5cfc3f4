"""One stage of a job: what the worker loop calls. It knows the engine and the messages, and nothing of the bus.

A stage is a generator: it leaves its forward passes to the rounds, in which it shares them with the other stages that
are being computed, and does the rest in between. Everything that touches a model runs on the one thread of the rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from torch import Tensor

from rise_contracts.errors import StageFailed, UnknownName
from rise_contracts.messages import StageTask
from rise_contracts.resources import ModelFamily
from rise_runtime.seam import Handoff, Picture, Pictures, StageContext, StageResult, WorkerStatus
from rise_stage.checkpoints import EVERY_S, Habit, Keeping
from rise_stage.engine.asking import Asking, Cost
from rise_stage.engine.batch import Batch
from rise_stage.engine.engine import Engine, handed_over
from rise_stage.engine.families.base import Conditioning
from rise_stage.engine.images import to_png
from rise_stage.engine.latents import Latent, Origin, decode_handoff, encode_handoff
from rise_stage.engine.memory import is_out_of_memory
from rise_stage.engine.noise import image_seeds
from rise_stage.engine.run import Step
from rise_stage.handoffs import expected, packed
from rise_stage.pace import Pace
from rise_stage.rounds import Rounds
from rise_stage.timing import Timings

LoadEngine = Callable[[ModelFamily], Engine]


class Handler:
    """Computes stages of the families it was made for, as many at once as there are callers."""

    def __init__(
        self,
        families: Sequence[ModelFamily],
        load: LoadEngine,
        batch: Batch | None = None,
        *,
        checkpoint_s: float = EVERY_S,
    ) -> None:
        self._families = {family.metadata.name: family for family in families}
        self._load = load
        self._engines: dict[str, Engine] = {}
        self._pace = Pace()
        self._members: tuple[str, ...] = ()
        self._rounds = Rounds(batch or Batch())
        self._habit = Habit(checkpoint_s)

    def prepare(self, members: Mapping[str, Sequence[str]]) -> None:
        """Load the named members of each family, and make each do a step and a picture, so that no job waits for it."""
        self._rounds.call(partial(self._prepare, members))

    def status(self) -> WorkerStatus:
        """For the heartbeat; called from another thread."""
        return WorkerStatus(
            families=tuple(self._families),
            members=self._members,
            seconds_per_step=self._pace.seconds_per_step,
            usual_seconds_per_step=self._pace.usual_seconds_per_step,
            pace_age_s=self._pace.age_s,
            load_seconds=self._pace.load_seconds,
            gain=self._pace.gain,
            full=self._rounds.full,
        )

    def __call__(self, task: StageTask, payload: bytes, context: StageContext) -> StageResult:
        """Compute one stage; may be called from many threads at once. See `rise_runtime.seam.StageHandler`."""
        try:
            made = self._rounds.run(partial(self._stage, task, payload, context, perf_counter()), context.check)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise StageFailed(
                f"out of memory: {' '.join(str(error).split())[:300]}; make fewer or smaller images",
                reason="OutOfMemory",
            ) from error
        return made if isinstance(made, Handoff) else made.packed()

    def _prepare(self, members: Mapping[str, Sequence[str]]) -> None:
        for family, names in members.items():
            engine = self._engine(family)
            for name in names:
                self._hold(engine, name)
                self._pace.note(name, engine.warm(name))
            _rehearse(engine)
            self._note_loaded()

    def _stage(
        self, task: StageTask, payload: bytes, context: StageContext, came_at: float
    ) -> Asking[Handoff | _Decoded]:
        timings = Timings()
        timings.seconds["waited"] = perf_counter() - came_at
        with timings.part("load"):
            engine = self._engine(task.request.spec.family)
            stage = task.configuration.stages[task.stage_index]
            self._hold(engine, stage.member)
        with timings.part("receive"):
            start = _start(engine, task, payload)
        with timings.part("encode"):
            spec = task.request.spec
            size = engine.size(spec.width, spec.height)
            against, member = spec.negative_prompt, stage.member
            prompts = engine.encode([spec.prompt], stage.guidance, against, size, member=member).rows(spec.images)

        keeping = Keeping(engine, task, context, self._habit)
        usual = engine.frames(spec.frames) == engine.frames()

        def on_step(made: Step, cost: Cost) -> None:
            step = keeping.counted(made)
            context.progress(step.index + 1, step.steps, step.sigma, step.seconds)
            timings.move("denoise", "waited", max(0.0, step.seconds - cost.share))
            timings.move("denoise", "checkpoint", keeping.note(step, cost.share))
            if usual:
                self._note_pace(stage.member, cost, prompts)

        with timings.part("denoise"):
            sigma = start.sigma if isinstance(start, Latent) else None
            grid = engine.grid(task.configuration, task.stage_index, sigma, size)
            start, grid = keeping.begin(start, grid)
            last = yield from engine.ask(stage.member, prompts, start, grid, task.configuration.solver, on_step)
            step = keeping.counted(last)
        if task.stage_index + 1 < len(task.configuration.stages):
            return _hand_over(engine, task, step, timings)
        return _decoded(engine, step, timings)

    def _note_pace(self, member: str, cost: Cost, prompts: Conditioning) -> None:
        """A step of one image says how fast this member is; one with company, what an image takes in company."""
        images = prompts.hidden.shape[0] // (1 if prompts.guidance is None else 2)
        if not cost.alone:
            self._pace.note(member, cost.share / images, shared=True)
        elif images == 1:
            self._pace.note(member, cost.seconds)

    def _engine(self, name: str) -> Engine:
        family = self._families.get(name)
        if family is None:
            raise UnknownName("family", name, tuple(self._families), "spec.family")
        if name not in self._engines:
            self._engines[name] = self._load(family)
        return self._engines[name]

    def _hold(self, engine: Engine, member: str) -> None:
        """Have a member in memory. What its loading takes is told, so that work may go to who need not."""
        there, began = member in engine.loaded, perf_counter()
        engine.member(member)
        if not there:
            self._pace.note_load(member, perf_counter() - began)
        self._note_loaded()

    def _note_loaded(self) -> None:
        self._members = tuple(dict.fromkeys(name for engine in self._engines.values() for name in engine.loaded))


def _rehearse(engine: Engine) -> None:
    """Send a latent to nobody and write a picture for nobody: the first of each imports and allocates."""
    noise = engine.noise([0])
    origin = Origin("nobody", 1, 0)
    encode_handoff(Latent(noise, 1.0), origin, engine.name, engine.latent_contract, "fp16", "euler")
    if engine.decodes:
        to_png(engine.decode(noise)[0])


def _start(engine: Engine, task: StageTask, payload: bytes) -> Tensor | Latent:
    """Unit noise for a head, else the latent that was handed over."""
    spec, stage = task.request.spec, task.configuration.stages[task.stage_index]
    if task.stage_index == 0:
        size = engine.size(spec.width, spec.height)
        return engine.noise(image_seeds(task.request.seed, spec.images), size, spec.frames)
    if task.handoff is None:
        raise StageFailed(f"stage {task.stage_index} came without a handoff", reason="HandoffRefused", retriable=False)
    wanted = expected(engine, task, task.stage_index - 1, task.configuration.wire_dtype, stage.sigma_from)
    return decode_handoff(task.handoff, payload, wanted, checked=True)


def _hand_over(engine: Engine, task: StageTask, step: Step, timings: Timings) -> Handoff:
    with timings.part("pack"):
        latent = handed_over(step.latent, task.configuration, task.stage_index)
        header, payload = packed(engine, task, latent, task.configuration.wire_dtype)
    preview = b""
    if task.request.preview:
        with timings.part("preview"):
            preview = to_png(engine.preview(step.predicted.clean[:1])[0])
    return Handoff(header, payload, step.steps, timings.seconds, preview)


@dataclass(frozen=True)
class _Decoded:
    """A last stage but for its files, which are made on the caller's thread: others compute meanwhile.

    Attributes:
        pixels: (B, H, W, 3) uint8 on the CPU; of videos (B, F, H, W, 3).
    """

    pixels: Tensor
    steps: int
    timings: Timings

    def packed(self) -> Pictures:
        with self.timings.part("png"):
            height, width = self.pixels.shape[-3:-1]
            frames = self.pixels.shape[1] if self.pixels.ndim == 5 else 1
            pictures = tuple(Picture(to_png(picture), width, height, frames) for picture in self.pixels)
        return Pictures(pictures, self.steps, self.timings.seconds)


def _decoded(engine: Engine, step: Step, timings: Timings) -> _Decoded:
    with timings.part("decode"):
        if not math.isfinite(float(step.x.sum())):
            raise StageFailed("the last latent holds NaN or infinity", reason="NotFinite", retriable=False)
        return _Decoded(engine.decode(step.x), step.steps, timings)
