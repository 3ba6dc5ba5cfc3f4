"""Between the worker loop and the engine: what a stage handler is given and what it gives back.

A handler is an ordinary blocking function. The worker loop calls it from as many threads at once as the worker has
slots; these live as long as the worker, and with one slot it is always the same. A handler that must keep models or
accelerator contexts on one thread, and one that lets stages share what they compute, has a thread of its own for that.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from rise_contracts import errors, messages
from rise_contracts.handoff import HandoffHeader
from rise_contracts.model import Tier


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a worker is. `name` is unique among living workers; `dedicated` is the one job that it is there for.

    A `private` one is somebody's own: it does what is sent to it by name, and nothing that any of its pool may do.
    """

    name: str
    tier: Tier
    pool: str
    labels: dict[str, str] = field(default_factory=dict)
    dedicated: str = ""
    private: bool = False

    @property
    def writer(self) -> str | None:
        """Whose shelf it puts chunks on: a device has its own, None is the platform's."""
        return self.name if self.tier == "device" else None


@dataclass(frozen=True, slots=True)
class Handoff:
    """A stage that is not the last gives the latent on. `preview` is a PNG where the job asked for one."""

    header: HandoffHeader
    payload: bytes
    steps: int
    timings: dict[str, float] = field(default_factory=dict)
    preview: bytes = b""


@dataclass(frozen=True, slots=True)
class Picture:
    """Above one frame it is a video, as an animated PNG."""

    png: bytes
    width: int
    height: int
    frames: int = 1


@dataclass(frozen=True, slots=True)
class Pictures:
    """The last stage gives the pictures, in the order of the job's images."""

    pictures: tuple[Picture, ...]
    steps: int
    timings: dict[str, float] = field(default_factory=dict)


StageResult = Handoff | Pictures


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A stage in mid-work, from which any worker goes on as if nothing had been.

    Attributes:
        step: how many of the stage's steps are done.
        seconds: what they took, waiting not included.
    """

    header: HandoffHeader
    payload: bytes
    step: int
    seconds: float


class CheckpointStore(Protocol):
    """Keeps the checkpoints of one stage. `seconds` is what sending the last one took of this process's time."""

    seconds: float

    def give(self, checkpoint: Checkpoint) -> None: ...


class Stopped(errors.RiseError):
    """Raised inside a handler, by its context, when its work is not wanted any more. Let it pass."""


class Stuck(errors.WorkerLost):
    """A handler gave no sign of life for too long. Its thread cannot be ended, so its process has to be."""


Emit = Callable[[int, int, float, float], None]


class StageContext:
    """A handler's way to the outside. Call `progress` after every step: it is where a cancelled job stops.

    Attributes:
        resume: what an earlier delivery left of this very stage. A handler that goes on from it sets `resumed_at`.
        resumed_at: how many steps were not made here.
    """

    def __init__(
        self,
        worker: Identity,
        delivery: int,
        emit: Emit | None = None,
        store: CheckpointStore | None = None,
        resume: Checkpoint | None = None,
    ) -> None:
        self.worker, self.delivery, self.resume = worker, delivery, resume
        self.resumed_at = 0
        self._emit, self._store = emit, store
        self._stop = threading.Event()
        self._why = ""
        self._heard_at = time.monotonic()

    @property
    def silent_s(self) -> float:
        """Seconds since the handler began, or last called `progress` or `check`."""
        return time.monotonic() - self._heard_at

    def progress(self, step: int, steps: int, sigma: float, seconds_per_step: float) -> None:
        """Say that `step` of `steps` steps are done and the latent is at `sigma`. Raises Stopped."""
        self.check()
        if self._emit is not None:
            self._emit(step, steps, sigma, seconds_per_step)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Give a checkpoint away, and do not wait for it: one that is not sent yet gives way to a newer one."""
        if self._store is not None:
            self._store.give(checkpoint)

    @property
    def keeping_seconds(self) -> float:
        """What sending the last checkpoint took of this process's time, while the handler went on."""
        return self._store.seconds if self._store is not None else 0.0

    def check(self) -> None:
        """Raise Stopped if the work is not wanted any more. Cheap: call it wherever seconds may pass."""
        self._heard_at = time.monotonic()
        if self._stop.is_set():
            raise Stopped(self._why)

    def stop(self, why: str) -> None:
        """From any thread: end the handler at its next `progress` or `check`."""
        self._why = self._why or why
        self._stop.set()


class StageHandler(Protocol):
    """Computes one stage, beside others where the worker has several slots.

    `payload` is the handoff's bytes, size and digest checked already; empty for the head. Raises HandoffRefused or
    StageFailed (`retriable` says whether another attempt may end better), Busy for "not now, give it to somebody
    else". Anything else is taken for a fault worth another attempt.
    """

    def __call__(self, task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult: ...


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """What the engine says for the heartbeat; seconds are by member.

    Attributes:
        usual_seconds_per_step: what a step takes over a long time, where `seconds_per_step` is of the last ones.
        pace_age_s: how long ago a step was measured.
        load_seconds: what loading takes.
        gain: how many times as many steps in the same time the worker makes when stages share it; 1 until measured.
        full: whether another stage would find no room beside those at work: none is taken until that has changed.
    """

    members: tuple[str, ...] = ()
    seconds_per_step: dict[str, float] = field(default_factory=dict)
    gain: float = 1.0
    full: bool = False
    families: tuple[str, ...] = ()
    usual_seconds_per_step: dict[str, float] = field(default_factory=dict)
    pace_age_s: dict[str, float] = field(default_factory=dict)
    load_seconds: dict[str, float] = field(default_factory=dict)
    accelerator: messages.Accelerator | None = None


StatusSource = Callable[[], WorkerStatus]
