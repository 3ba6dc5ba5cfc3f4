"""One run: the list of jobs under one way of choosing, on a platform of its own; what became of each job."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Final

import numpy as np
from PIL import Image

from benchmarks import _endtoend
from benchmarks.demo.endings import Endings
from benchmarks.demo.platform import LABEL, Ground, standing
from benchmarks.demo.world import EDGE, FAR, NEAR, PHASES, Asking
from rise_contracts import errors
from rise_contracts.messages import Heartbeat, JobDone
from rise_contracts.model import Tier
from rise_contracts.resources import ModelFamily, RelayJobSpec, RelaySpec
from rise_runtime import client
from rise_runtime.bus import Bus
from rise_runtime.heartbeat import Workers
from rise_runtime.plan import edge_seconds
from rise_scheduler.arm import base_member
from rise_scheduler.fleet import Fleet
from rise_scheduler.reward import failed_reward, reward
from rise_shapes.judge import judge

LATEST_S: Final = 300.0
"""A job that has not ended so long after it was submitted counts as failed."""
SAMPLE_S: Final = 0.5
SMALL, HANDED_OVER = "small:13", "large:7@1.1+finisher:13"
WARM_UP: Final = ((EDGE, "large:13"), (NEAR, SMALL), (FAR, SMALL), (NEAR, HANDED_OVER), (FAR, HANDED_OVER))
"""Jobs before the clock starts, by which every worker knows its own speed. They are no arms of the family."""


@dataclass(frozen=True)
class Told:
    """One job as it went. ``latency_s`` is from submission until its end was heard of."""

    number: int
    at: float
    phase: int
    preference: float
    policy: str = ""
    arm: str = ""
    predicted_s: float | None = None
    latency_s: float = 0.0
    edge_s: float = 0.0
    quality: float = 0.0
    utility: float = 0.0
    failed: bool = True
    workers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """Tasks waiting or at work at a moment, by tier."""

    at: float
    edge: int
    device: int


@dataclass
class Run:
    """A whole run, its jobs in the order of the list. ``name`` is the policy's, or the arm's that every job has
    (``static``). ``reference_s`` is what the scheduler takes for the latency that counts as 1."""

    name: str
    static: bool = False
    reference_s: float = 0.0
    jobs: list[Told] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)


@dataclass(frozen=True)
class Clock:
    """Seconds since the beginning of a run."""

    zero: float

    def now(self) -> float:
        return time.monotonic() - self.zero

    async def until(self, at: float) -> None:
        """Return at a moment, at once where it has passed."""
        await asyncio.sleep(max(0.0, at - self.now()))


@dataclass(frozen=True)
class Way:
    """A way of choosing: one arm for every job, or the scheduler with a policy (None: its own default)."""

    policy: str | None = None
    arm: str | None = None

    @property
    def name(self) -> str:
        """Of its run, until a decision says what the default is."""
        return self.arm or self.policy or "default"


async def play_all(
    ways: Sequence[Way], asked: Sequence[Asking], seconds: float, folder: Path, family: ModelFamily
) -> list[Run]:
    """Play the list in every way. A policy gets a platform that has learned nothing yet; the arms, which learn nothing,
    share one."""
    runs = []
    for way in (way for way in ways if way.arm is None):
        async with standing(folder / way.name, way.policy) as ground:
            runs.append(await play(ground, way, asked, seconds, family))
    async with standing(folder / "arms", "fixed") as ground:
        runs += [await play(ground, way, asked, seconds, family) for way in ways if way.arm is not None]
    return runs


async def play(ground: Ground, way: Way, asked: Sequence[Asking], seconds: float, family: ModelFamily) -> Run:
    """Play the list once, and wait until the last of its jobs has ended. Raises what the platform raises."""
    relay = RelaySpec() if way.arm is None else _endtoend.fixed(way.arm, family)
    run = Run(way.name, way.arm is not None)
    ground.enter(PHASES[0])
    await _warm_up(ground.bus, family)
    run.reference_s = await _reference(ground.bus, family)
    clock, endings = Clock(time.monotonic()), Endings(ground.bus)
    beside = [
        asyncio.create_task(work)
        for work in (endings.listen(), _drift(ground, clock, seconds), _watch(ground.bus, clock, run.samples))
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for number, ask in enumerate(asked):
                await clock.until(ask.at)
                group.create_task(_one(ground.bus, number, ask, relay, endings, run.jobs))
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    run.jobs.sort(key=lambda told: told.number)
    if not run.static:
        run.name = next((told.policy for told in run.jobs if told.policy), run.name)
    print(told_of(run), flush=True)
    return run


def told_of(run: Run) -> str:
    """A run in a line."""
    right, mean = (fmean(getattr(told, name) for told in run.jobs) for name in ("quality", "latency_s"))
    lost = sum(told.failed for told in run.jobs)
    latest = max(told.latency_s for told in run.jobs)
    return f"{run.name:28s} {right:.2f} right, mean {mean:.2f} s, latest {latest:.1f} s, {lost} failed"


async def _warm_up(bus: Bus, family: ModelFamily) -> None:
    for worker, arm in WARM_UP:
        selector = None if worker == EDGE else {LABEL: worker}
        spec = RelayJobSpec(prompt="a red circle", seed=1, relay=_endtoend.fixed(arm, family), device_selector=selector)
        record = await client.submit(bus, spec)
        ending = await client.wait(bus, record.job_id)
        if not isinstance(ending, JobDone):
            raise errors.JobEndedBadly(record.job_id, ending.kind, f"it was to warm {worker} up")


async def _reference(bus: Bus, family: ModelFamily) -> float:
    """Seconds of the base member alone at its default steps, as the scheduler has it: by the workers' own word."""
    base = base_member(family)
    place = Fleet(await client.list_workers(bus)).place(base.tier, family.metadata.name, base.name)
    if isinstance(place, str) or place.seconds_per_step is None:
        raise errors.WorkerLost(EDGE, f"it has not said how fast {base.name} is")
    return base.default_steps * place.seconds_per_step


async def _drift(ground: Ground, clock: Clock, seconds: float) -> None:
    for index, phase in enumerate(PHASES):
        await clock.until(index * seconds / len(PHASES))
        ground.enter(phase)


async def _watch(bus: Bus, clock: Clock, samples: list[Sample]) -> None:
    workers = Workers(bus)
    seeing = asyncio.create_task(workers.run())
    try:
        while True:
            await asyncio.sleep(SAMPLE_S)
            alive = workers.alive()
            samples.append(Sample(round(clock.now(), 2), tasks(alive, "edge"), tasks(alive, "device")))
    finally:
        seeing.cancel()
        await asyncio.gather(seeing, return_exceptions=True)


def tasks(alive: Sequence[Heartbeat], tier: Tier) -> int:
    """Tasks in the queue of a tier (each of its workers tells of all) or at work there."""
    mine = [beat for beat in alive if beat.tier == tier]
    return max((beat.queue_depth for beat in mine), default=0) + sum(len(beat.busy_jobs) for beat in mine)


async def _one(bus: Bus, number: int, ask: Asking, relay: RelaySpec, endings: Endings, jobs: list[Told]) -> None:
    began = time.monotonic()
    spec = RelayJobSpec(prompt=ask.prompt, seed=ask.seed, preference=ask.preference, relay=relay)
    job_id = (await client.submit(bus, spec)).job_id
    told = Told(number, ask.at, ask.phase, ask.preference)
    try:
        async with asyncio.timeout(LATEST_S):
            ending, heard_at = await endings.of(job_id)
    except TimeoutError:
        told = replace(told, latency_s=LATEST_S)
    else:
        told = replace(told, latency_s=heard_at - began)
        if isinstance(ending, JobDone):
            told = _with_result(told, ask, await client.fetch_result(bus, job_id))
    decision = (await client.get_job(bus, job_id)).decision
    if decision is not None:
        foreseen = decision.predictions.latency_s
        told = replace(told, policy=decision.policy, arm=decision.arm, predicted_s=foreseen)
    jobs.append(told)


def _with_result(told: Told, ask: Asking, result: client.Result) -> Told:
    with Image.open(io.BytesIO(result.images[0])) as opened:
        picture = np.asarray(opened.convert("RGB"))
    stages = result.done.stages
    return replace(
        told,
        failed=False,
        quality=float(judge(picture, ask.scene).ok),
        edge_s=edge_seconds(stages),
        workers=tuple(stage.worker for stage in stages),
    )


def scored(run: Run, reference_s: float) -> Run:
    """The run with the utility of each job: the scheduler's own reward of what was measured."""
    return replace(run, jobs=[replace(told, utility=utility(told, reference_s)) for told in run.jobs])


def utility(told: Told, reference_s: float) -> float:
    """Of one job."""
    if told.failed:
        return failed_reward(preference=told.preference)
    return reward(told.quality, told.latency_s, preference=told.preference, reference_s=reference_s)
