"""The other processes of a platform, small: a scheduler that answers fixed stages, and stage workers.

The stage is real work of a small kind: each step hashes the state of the step before, so a result that went through
the wrong steps, twice through one, or came from another seed has another digest. Run as a program it is one worker
process, which tests kill.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from rise_contracts import codec, errors, messages, subjects
from rise_contracts.configuration import Configuration, Stage
from rise_contracts.handoff import HandoffHeader
from rise_contracts.records import JobRecord
from rise_contracts.resources import RelayJobSpec
from rise_contracts.rights import Principal
from rise_runtime import access, client, services
from rise_runtime.bus import Bus, open_bus
from rise_runtime.driver import run_driver
from rise_runtime.driving import DriverSettings
from rise_runtime.heartbeat import Workers
from rise_runtime.pulls import Consumer
from rise_runtime.seam import Checkpoint, Handoff, Identity, Picture, Pictures, StageContext, StageResult
from rise_runtime.signals import leave, stop_on_signals
from rise_runtime.worker import WorkerSettings, run_worker
from tests.handoffs import header
from tests.pictures import WIDTH, picture

QUICK = WorkerSettings(ack_wait_s=1.0, max_deliver=3, drain_s=5.0)
QUICK_DRIVER = DriverSettings(ask_timeout_s=2.0, ask_again_s=0.1, grace_s=1.0, verify_s=1.0, tick_s=0.05)
PATIENT = replace(QUICK_DRIVER, grace_s=60.0)
"""A driver that leaves it to the queues to find another worker."""
STEPS = 4
LATENT = 32
"""Bytes of a state, where nothing else is asked for."""


def expected(seed: int, size: int = LATENT) -> bytes:
    """The picture that a job of two stages of `STEPS` steps must have, whoever made it."""
    state = _first(seed, size)
    for step in range(2 * STEPS):
        state = _stepped(state, step % STEPS)
    return picture(state)


def handed_over(seed: int, size: int = LATENT) -> bytes:
    """The latent that its head makes."""
    state = _first(seed, size)
    for step in range(STEPS):
        state = _stepped(state, step)
    return state


def _first(seed: int, size: int) -> bytes:
    return (hashlib.sha256(str(seed).encode()).digest() * (size // 32 + 1))[:size]


def _stepped(state: bytes, step: int) -> bytes:
    return hashlib.sha256(bytes([step]) + state).digest() + state[32:]


def stage(index: int, pool: str, *, last: bool, worker: str | None = None) -> Stage:
    return Stage(
        index=index,
        member="large" if index == 0 else "small",
        tier="edge" if pool == "edge" else "device",
        pool=pool,
        worker=worker,
        steps=STEPS,
        sigma_from=None if index == 0 else 1.0,
        sigma_to=0.0 if last else 1.0,
    )


RELAY = Configuration(
    arm="large:4@1+small:4", stages=(stage(0, "edge", last=False), stage(1, "device", last=True)), wire_dtype="fp32"
)


class Hasher:
    """The stage handler. It waits after each step while a file `hold` is there, and says so in files `held`: one for
    the worker, one for the job."""

    def __init__(self, folder: Path, *, size: int = LATENT) -> None:
        self._folder, self._size = folder, size

    def __call__(self, task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult:
        prompt = task.request.spec.prompt
        if "die" in prompt:
            os._exit(1)
        if "refuse" in prompt:
            raise errors.HandoffRefused(errors.Refusal.SIGMA, "1.0", "2.0")
        if "break" in prompt:
            raise ValueError("this stage breaks every time")
        if "quoted" in prompt:
            raise ValueError(f"a library that quotes its input: {prompt!r}")
        state, done = payload or _first(task.request.seed, self._size), 0
        if context.resume is not None and "forgetful" not in prompt:
            state, done = context.resume.payload, context.resume.step
            context.resumed_at = done
        for step in range(done, STEPS):
            state = _stepped(state, step)
            if "stubborn" not in prompt:
                context.progress(step + 1, STEPS, 1.0, 0.001)
            if "checkpoint" in prompt and step + 1 < STEPS:
                context.keep(Checkpoint(_header(task, state), state, step + 1, 0.5 * (step + 1)))
            self._hold(task, context, step + 1)
        last = task.stage_index == len(task.configuration.stages) - 1
        if not last:
            return Handoff(_header(task, state), state, STEPS)
        return Pictures((Picture(picture(state), WIDTH, -(-len(state) // WIDTH)),), STEPS)

    def _hold(self, task: messages.StageTask, context: StageContext, done: int) -> None:
        """Wait at the file's pleasure. Sleeping is what a slow step does; the test waits for events, not for time."""
        hold = self._folder / f"hold-{task.stage_index}"
        later = self._folder / f"hold-{task.stage_index}-after-{done}"
        while hold.exists() or later.exists():
            (self._folder / f"held-{task.stage_index}-{context.worker.name}").touch()
            (self._folder / f"held-{task.job_id}").touch()
            if "stubborn" not in task.request.spec.prompt:
                context.check()
            time.sleep(0.01)


def _header(task: messages.StageTask, state: bytes) -> HandoffHeader:
    return header(task.job_id, state, task.attempt, task.stage_index)


def spec(prompt: str = "a red circle", **fields: object) -> RelayJobSpec:
    return RelayJobSpec.model_validate({"prompt": prompt, **fields})


@contextlib.asynccontextmanager
async def scheduler(bus: Bus, configuration: Configuration = RELAY) -> AsyncIterator[list[messages.Configure]]:
    """Answers every question with `configuration`; gives the questions asked."""
    asked: list[messages.Configure] = []

    async def answer(question: messages.Configure) -> messages.Decision:
        asked.append(question)
        job_id = question.request.job_id
        return messages.Decision(
            id=f"{job_id}.{question.attempt}.{len(asked)}",
            job_id=job_id,
            arm=configuration.arm,
            configuration=configuration,
            policy="fixed",
        )

    serving = await services.serve(bus, subjects.CONFIGURE, messages.Configure, answer)
    try:
        yield asked
    finally:
        await serving.stop()


@contextlib.asynccontextmanager
async def driver(bus: Bus, settings: DriverSettings = QUICK_DRIVER) -> AsyncIterator[None]:
    async with _running(run_driver(bus, settings=settings)):
        yield


@contextlib.asynccontextmanager
async def worker(
    bus: Bus, name: str, folder: Path, *, size: int = LATENT, settings: WorkerSettings = QUICK
) -> AsyncIterator[asyncio.Event]:
    """A worker in this process; `edge…` is of the pool edge, everything else of the pool device. Gives its stop."""
    stop, ready = asyncio.Event(), asyncio.Event()
    work = run_worker(bus, identity(name), Hasher(folder, size=size), stop=stop, settings=settings, on_ready=ready.set)
    task = asyncio.create_task(work)
    task.add_done_callback(lambda _: ready.set())
    await ready.wait()
    try:
        yield stop
    finally:
        stop.set()
        await task


@contextlib.asynccontextmanager
async def relay(
    bus: Bus, folder: Path, *, size: int = LATENT, settings: DriverSettings = QUICK_DRIVER
) -> AsyncIterator[None]:
    """All that a relay needs, and no more: a scheduler, a driver and a worker of each tier."""
    async with (
        scheduler(bus),
        driver(bus, settings),
        worker(bus, "edge-1", folder, size=size),
        worker(bus, "device-1", folder, size=size),
    ):
        yield


@contextlib.asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if not task.cancelled() and task.exception() is not None:
            raise AssertionError("a part of the platform failed") from task.exception()


def identity(name: str) -> Identity:
    """By its name: `edge…` is at the edge, `private…` is somebody's own device, any other a device of the pool."""
    if name.startswith("edge"):
        return Identity(name, "edge", "edge")
    return Identity(name, "device", "device", private=name.startswith("private"))


class Start(Protocol):
    """Starts a worker process by its name."""

    def __call__(self, name: str, *, slots: int = 1) -> Awaitable[WorkerProcess]: ...


class WorkerProcess:
    """The same worker as a process of its own, to be killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls, url: str, known_by: str | Mapping[str, str], name: str, folder: Path, slots: int = 1
    ) -> WorkerProcess:
        """Returns when it takes work, or is loading. `known_by` is a token, or variables that `access` reads."""
        arguments = ["--url", url, "--name", name, "--folder", str(folder), "--slots", str(slots)]
        root = Path(__file__).parents[3]
        identity = access.only(known_by) if isinstance(known_by, str) else known_by
        environment = {**os.environ, **identity, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            *arguments,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 120) in (b"ready\n", b"loading\n")
        return cls(process)

    async def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self.ended()

    async def terminate(self) -> int:
        self._process.terminate()
        return await self.ended()

    async def ended(self) -> int:
        return await asyncio.wait_for(self._process.wait(), 60)


async def until(condition: Callable[[], bool], timeout: float = 60.0) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


async def record_is(bus: Bus, job_id: str, state: str) -> JobRecord:
    """The job's record as soon as it is in `state`."""
    async with asyncio.timeout(60):
        async for record in client.watch_job(bus, job_id):
            if record.state == state:
                return record
    raise AssertionError(f"job {job_id} ended and was never {state}")


async def heartbeat(bus: Bus, wanted: Callable[[messages.Heartbeat], bool]) -> messages.Heartbeat:
    """The first heartbeat that is as wanted."""
    async with asyncio.timeout(60):
        async for alive in Workers(bus).changes():
            for beat in alive:
                if wanted(beat):
                    return beat
    raise AssertionError("the watch ended")


async def until_gone(bus: Bus, job_id: str) -> None:
    """Wait until the job's record is removed."""
    async with asyncio.timeout(60):
        while any(record.job_id == job_id for record in await client.list_jobs(bus)):
            await asyncio.sleep(0.05)


async def outcomes(bus: Bus, count: int) -> list[messages.Outcome]:
    """The first `count` outcomes that were sent."""
    consumer = Consumer(bus, subjects.STREAM_OUTCOMES, (subjects.OUTCOMES,), batch=16)
    await consumer.start()
    try:
        found: list[messages.Outcome] = []
        async with asyncio.timeout(60):
            while len(found) < count:
                delivery = await consumer.next()
                if delivery is not None:
                    found.append(codec.decode(messages.Outcome, delivery.data))
        return found
    finally:
        await consumer.stop()


async def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url")
    parser.add_argument("--name")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--slots", type=int)
    parser.add_argument("--pool")
    arguments = parser.parse_args()
    stop = stop_on_signals()
    me = identity(arguments.name)
    me = dataclasses.replace(me, pool=arguments.pool or me.pool)
    inbox = Principal(me.tier, me.pool, me.name).inbox
    bus = await open_bus(arguments.url, access.from_environment(os.environ), inbox=inbox, patience=30.0)
    await run_worker(
        bus,
        me,
        Hasher(arguments.folder),
        prepare=lambda: _load(arguments.folder / "loading"),
        stop=stop,
        settings=dataclasses.replace(QUICK, slots=arguments.slots),
        on_ready=lambda: print("ready", flush=True),
    )
    await bus.close()


def _load(loading: Path) -> None:
    """Load for as long as the file is there."""
    if loading.exists():
        print("loading", flush=True)
    while loading.exists():
        time.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(_main())
    leave(0)
