"""One stage of a job: what the worker loop calls. It knows the engine and the messages, and nothing of the bus."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from rise_contracts.errors import StageFailed, UnknownName
from rise_contracts.messages import StageTask
from rise_contracts.resources import ModelFamily
from rise_runtime.seam import Handoff, Picture, Pictures, StageContext, StageResult, WorkerStatus
from rise_stage.engine.engine import Engine, handed_over
from rise_stage.engine.images import to_png
from rise_stage.engine.latents import Expected, Latent, Origin, decode_handoff, encode_handoff
from rise_stage.engine.noise import image_seeds
from rise_stage.engine.run import Step
from rise_stage.pace import Pace
from rise_stage.timing import Timings

LoadEngine = Callable[[ModelFamily], Engine]


class Handler:
    """Computes stages of the families it was made for, one at a time, on one thread."""

    def __init__(self, families: Sequence[ModelFamily], load: LoadEngine) -> None:
        self._families = {family.metadata.name: family for family in families}
        self._load = load
        self._engines: dict[str, Engine] = {}
        self._pace = Pace()
        self._members: tuple[str, ...] = ()

    def prepare(self, members: Mapping[str, Sequence[str]]) -> None:
        """Load the named members of each family, and make each do a step and a picture, so that no job waits for it."""
        for family, names in members.items():
            engine = self._engine(family)
            for name in names:
                self._pace.note(name, engine.warm(name))
            _rehearse(engine)
            self._note_loaded()

    def status(self) -> WorkerStatus:
        """For the heartbeat; called from another thread."""
        return WorkerStatus(self._members, self._pace.seconds_per_step)

    def __call__(self, task: StageTask, payload: bytes, context: StageContext) -> StageResult:
        try:
            return self._compute(task, payload, context)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            raise StageFailed(
                f"out of memory: {' '.join(str(error).split())[:300]}; make fewer or smaller images",
                reason="OutOfMemory",
            ) from error

    def _compute(self, task: StageTask, payload: bytes, context: StageContext) -> StageResult:
        timings = Timings()
        with timings.part("load"):
            engine = self._engine(task.request.spec.family)
            stage = task.configuration.stages[task.stage_index]
            engine.member(stage.member)
            self._note_loaded()
        with timings.part("receive"):
            start = _start(engine, task, payload)
        with timings.part("encode"):
            spec = task.request.spec
            size = engine.size(spec.width, spec.height)
            prompts = engine.encode([spec.prompt], stage.guidance, spec.negative_prompt, size).rows(spec.images)
        with timings.part("denoise"):
            sigma = start.sigma if isinstance(start, Latent) else None
            grid = engine.grid(task.configuration, task.stage_index, sigma, size)
            for step in engine.run(stage.member, prompts, start, grid, task.configuration.solver):
                context.progress(step.index + 1, step.steps, step.sigma, step.seconds)
                if spec.images == 1:
                    self._pace.note(stage.member, step.seconds / (2 if prompts.guidance else 1))
        if task.stage_index + 1 < len(task.configuration.stages):
            return _hand_over(engine, task, step, timings)
        return _pictures(engine, step, timings)

    def _engine(self, name: str) -> Engine:
        family = self._families.get(name)
        if family is None:
            raise UnknownName("family", name, tuple(self._families), "spec.family")
        if name not in self._engines:
            self._engines[name] = self._load(family)
        return self._engines[name]

    def _note_loaded(self) -> None:
        self._members = tuple(dict.fromkeys(name for engine in self._engines.values() for name in engine.loaded))


def _is_out_of_memory(error: Exception) -> bool:
    """Torch has a type for it on accelerators only; on a CPU it is told by the allocator's name."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def _rehearse(engine: Engine) -> None:
    """Send a latent to nobody and write a picture for nobody: the first of each imports and allocates."""
    noise = engine.noise([0])
    origin = Origin("nobody", 1, 0)
    encode_handoff(Latent(noise, 1.0), origin, engine.name, engine.latent_contract, "fp16", "euler")
    to_png(engine.decode(noise)[0])


def _start(engine: Engine, task: StageTask, payload: bytes) -> Tensor | Latent:
    """Unit noise for a head, else the latent that was handed over."""
    spec, stage = task.request.spec, task.configuration.stages[task.stage_index]
    size = engine.size(spec.width, spec.height)
    if task.stage_index == 0:
        return engine.noise(image_seeds(task.request.seed, spec.images), size)
    if task.handoff is None:
        raise StageFailed(f"stage {task.stage_index} came without a handoff", reason="HandoffRefused", retriable=False)
    expected = Expected(
        origin=Origin(task.job_id, task.attempt, task.stage_index - 1),
        family=spec.family,
        latent_contract=engine.latent_contract,
        shape=(spec.images, *engine.latent_shape(size)),
        dtype=task.configuration.wire_dtype,
        solver=task.configuration.solver,
        sigma=stage.sigma_from,
        sigma_max=engine.member(stage.member).sigma_max,
    )
    return decode_handoff(task.handoff, payload, expected, checked=True)


def _hand_over(engine: Engine, task: StageTask, step: Step, timings: Timings) -> Handoff:
    with timings.part("pack"):
        header, payload = encode_handoff(
            handed_over(step.latent, task.configuration, task.stage_index),
            Origin(task.job_id, task.attempt, task.stage_index),
            task.request.spec.family,
            engine.latent_contract,
            task.configuration.wire_dtype,
            task.configuration.solver,
        )
    preview = b""
    if task.request.preview:
        with timings.part("preview"):
            preview = to_png(engine.decode(step.predicted.clean[:1])[0])
    return Handoff(header, payload, step.steps, timings.seconds, preview)


def _pictures(engine: Engine, step: Step, timings: Timings) -> Pictures:
    with timings.part("decode"):
        if not math.isfinite(float(step.x.sum())):
            raise StageFailed("the last latent holds NaN or infinity", reason="NotFinite", retriable=False)
        pixels = engine.decode(step.x)
    with timings.part("png"):
        height, width = pixels.shape[1:3]
        pictures = tuple(Picture(to_png(picture), width, height) for picture in pixels)
    return Pictures(pictures, step.steps, timings.seconds)
