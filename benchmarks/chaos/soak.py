"""The storm for a long time, and whether anything grows meanwhile: memory, open files, what lies in the streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import psutil

from benchmarks.chaos import plan
from benchmarks.chaos.plan import PlannedJob
from benchmarks.chaos.world import World
from rise_contracts import errors, subjects
from rise_runtime import streams
from rise_runtime.bus import Bus

CALM_S: Final = 30.0
EVERY_S: Final = 10.0
JOB_EVERY_S: Final = 2.5
"""A steady load, and half of what two cores could do: backlogs would be taken for growth."""
SHARE, ROOM = 0.10, {"rss_mib": 16.0, "fds": 8.0, "bytes_mib": 4.0}
"""Flat is what has in its last third a middle at most this share, and this much, above the middle of its second third.
The first is for what is loaded and measured at first use."""
GROWS: Final = frozenset({subjects.STREAM_OUTCOMES, f"KV_{subjects.KV_DECISIONS}"})
"""Kept for days by design, whatever becomes of the jobs."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of a process or stream, `at` seconds from the beginning."""

    at: float
    name: str
    what: str
    value: float


@dataclass(frozen=True, slots=True)
class Drift:
    """The middle of the second and of the last third of a series, and whether that is flat."""

    name: str
    what: str
    before: float
    after: float
    flat: bool


def jobs(seed: int, seconds: float) -> Iterator[PlannedJob]:
    """Jobs that remove themselves, for so long: whatever stays then has been left over."""
    until = time.monotonic() + seconds
    for planned in plan.jobs(seed):
        if time.monotonic() > until:
            return
        yield replace(planned, expires=True)


def drifts(samples: Iterable[Sample]) -> list[Drift]:
    """The judgement of each series that is long enough to have three thirds."""
    series: dict[tuple[str, str], list[float]] = {}
    for sample in samples:
        series.setdefault((sample.name, sample.what), []).append(sample.value)
    return [_drift(name, what, values) for (name, what), values in series.items() if len(values) >= 6]


def _drift(name: str, what: str, values: Sequence[float]) -> Drift:
    third = len(values) // 3
    before, after = statistics.median(values[third : 2 * third]), statistics.median(values[2 * third :])
    return Drift(name, what, before, after, after <= before * (1 + SHARE) + ROOM[what])


@contextlib.asynccontextmanager
async def watched(world: World) -> AsyncIterator[list[Sample]]:
    """Samples of every process and stream, taken for the length of the block."""
    samples: list[Sample] = []
    watching = asyncio.create_task(_watch(world, samples))
    try:
        yield samples
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _watch(world: World, samples: list[Sample]) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(EVERY_S)
        await measure(world, time.monotonic() - began, samples)


async def measure(world: World, at: float, samples: list[Sample]) -> None:
    """Add a sample of everything that is there now."""
    for name, part in world.parts.items():
        with contextlib.suppress(psutil.Error, errors.WorkerLost):
            process = psutil.Process(part.pid)
            samples.append(Sample(at, name, "rss_mib", process.memory_info().rss / 2**20))
            samples.append(Sample(at, name, "fds", process.num_fds()))
    with contextlib.suppress(errors.RiseError):  # the server may be what is struck
        sizes = await sizes_of(world.bus)
        samples += [Sample(at, name, "bytes_mib", size / 2**20) for name, size in sizes.items()]


async def sizes_of(bus: Bus) -> Mapping[str, int]:
    """Bytes in each stream that is to stay as small as it is."""
    names = (await streams.api(bus, "STREAM.NAMES"))["streams"] or []
    infos = {name: await streams.api(bus, f"STREAM.INFO.{name}") for name in names if name not in GROWS}
    return {name: int(info["state"]["bytes"]) for name, info in infos.items()}


def write(samples: Sequence[Sample], seed: int, file: Path) -> list[Drift]:
    """The samples and their judgement as JSON; the judgement."""
    found = drifts(samples)
    file.parent.mkdir(parents=True, exist_ok=True)
    body = {"seed": seed, "drifts": [asdict(each) for each in found], "samples": [asdict(each) for each in samples]}
    file.write_text(json.dumps(body) + "\n")
    return found
