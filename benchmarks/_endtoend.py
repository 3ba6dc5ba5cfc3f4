"""Two arms end to end on a real platform: server, scheduler, an edge and a device worker, each a process of its own.

The jobs of both sides take turns, so that a machine that drifts drifts for both.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from benchmarks._front import Prompt
from rise_cli import sessions
from rise_cli.local.platform import Plan
from rise_contracts.configuration import parse_arm
from rise_contracts.messages import JobDone
from rise_contracts.resources import ModelFamily, RelayJobSpec, RelaySpec, StageSpec
from rise_runtime import client
from rise_runtime.bus import Bus
from rise_shapes.judge import judge


@dataclass(frozen=True)
class Run:
    """One job: seconds from submission to the picture in hand, what the stages took, and whether it is right."""

    seconds: float
    edge_s: float
    denoise_s: float
    overhead_s: float
    handoff_bytes: int
    right: bool


@dataclass(frozen=True)
class Side:
    """All runs of one arm."""

    arm: str
    runs: tuple[Run, ...]

    def median(self, field: str) -> float:
        """The median of a field of the runs."""
        values: list[float] = [getattr(run, field) for run in self.runs]
        return median(values)

    @property
    def accuracy(self) -> float:
        """Share of the pictures that are wholly right."""
        return sum(run.right for run in self.runs) / len(self.runs)


@dataclass(frozen=True)
class Compared:
    """Both sides, the seconds the platform took to be ready, and each worker's resident memory in bytes."""

    sides: tuple[Side, ...]
    ready_s: float
    memory: dict[str, int]


def compare(arms: Sequence[str], prompts: Sequence[Prompt], family: ModelFamily, warm: int = 4) -> Compared:
    """Run every prompt by every arm in turn; the first ``warm`` prompts are run once more before and not counted."""
    return asyncio.run(_compare(arms, prompts, family, warm))


async def _compare(arms: Sequence[str], prompts: Sequence[Prompt], family: ModelFamily, warm: int) -> Compared:
    specs = {arm: fixed(arm, family) for arm in arms}
    made: dict[str, list[Run]] = {arm: [] for arm in arms}
    with TemporaryDirectory() as folder:
        plan = Plan(threads=1)
        async with sessions.driven(plan, Path(folder), Path(folder) / "store", print, lambda text: None) as platform:
            for number, prompt in enumerate([*prompts[:warm], *prompts]):
                for arm, relay in specs.items():
                    run = await _one(platform.bus, relay, prompt)
                    if number >= warm:
                        made[arm].append(run)
            alive = await client.list_workers(platform.bus)
            memory = {beat.worker: beat.rss_bytes for beat in alive}
            return Compared(tuple(Side(arm, tuple(runs)) for arm, runs in made.items()), platform.ready_seconds, memory)


def fixed(arm: str, family: ModelFamily) -> RelaySpec:
    """The arm as a job's fixed relay."""
    stages = []
    for part in parse_arm(arm):
        member = family.member(part.member)
        tier = None if member is None else member.tier
        stages.append(StageSpec(member=part.member, tier=tier, steps=part.steps, until_sigma=part.until_sigma))
    return RelaySpec(mode="Fixed", stages=tuple(stages))


async def _one(bus: Bus, relay: RelaySpec, prompt: Prompt) -> Run:
    began = time.perf_counter()
    record = await client.submit(bus, RelayJobSpec(prompt=prompt.text, seed=prompt.seed, relay=relay))
    ending = await client.wait(bus, record.request.job_id)
    if not isinstance(ending, JobDone):
        raise RuntimeError(f"job {record.request.job_id} ended as {ending.kind}: {ending}")
    result = await client.fetch_result(bus, record.request.job_id)
    seconds = time.perf_counter() - began
    picture = np.asarray(Image.open(io.BytesIO(result.images[0])).convert("RGB"))
    denoise = sum(stage.timings.get("denoise", 0.0) for stage in ending.stages)
    return Run(
        seconds,
        sum(stage.seconds for stage in ending.stages if stage.tier == "edge"),
        denoise,
        seconds - denoise,
        sum(stage.handoff_bytes for stage in ending.stages),
        judge(picture, prompt.scene).ok,
    )
