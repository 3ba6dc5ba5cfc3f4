"""The storm for a long time, and whether anything grows meanwhile: memory, open files, what lies in the streams."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import statistics
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks import _rows
from benchmarks.chaos import plan
from benchmarks.chaos.plan import PlannedJob
from benchmarks.chaos.words import Result
from benchmarks.chaos.world import World
from rise_contracts import errors, subjects
from rise_runtime import streams
from rise_runtime.bus import Bus

CALM_S: Final = 20.0
"""With the time that a fault takes to strike and to pass, one every 30 s or so."""
EVERY_S: Final = 10.0
JOB_EVERY_S: Final = 2.5
"""A steady load, and half of what two cores could do: backlogs would be taken for growth."""
UNITS: Final = {"rss_mib": "MiB resident", "fds": "open files", "bytes_mib": "MiB stored"}
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
    """The middle of the second and of the last third of a series, whether that is flat, and the slope over both."""

    name: str
    what: str
    before: float
    after: float
    flat: bool
    per_hour: float


@dataclass(frozen=True, slots=True)
class Soak:
    """What came of one: `wrong` jobs were lost, done twice, or hung; `left` things lay there when all was over."""

    seed: int
    minutes: float
    date: str
    machine: str
    jobs: int
    faults: int
    wrong: int
    left: int
    drifts: tuple[Drift, ...]


def jobs(seed: int, seconds: float) -> Iterator[PlannedJob]:
    """Jobs that remove themselves, for so long: whatever stays then has been left over."""
    until = time.monotonic() + seconds
    for planned in plan.jobs(seed):
        if time.monotonic() > until:
            return
        yield replace(planned, expires=True)


def drifts(samples: Iterable[Sample]) -> list[Drift]:
    """The judgement of each series that is long enough to have three thirds."""
    series: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        series.setdefault((sample.name, sample.what), []).append(sample)
    return [_drift(name, what, own) for (name, what), own in series.items() if len(own) >= 6]


def _drift(name: str, what: str, series: Sequence[Sample]) -> Drift:
    third = len(series) // 3
    later = series[third:]
    before, after = (statistics.median(each.value for each in part) for part in (later[:third], later[third:]))
    slope = statistics.linear_regression([each.at / 3600 for each in later], [each.value for each in later]).slope
    return Drift(name, what, before, after, after <= before * (1 + SHARE) + ROOM[what], slope)


def judged(samples: Sequence[Sample], results: Sequence[Result], seed: int) -> Soak:
    """All of it in one."""
    wrong = sum(each.lost + each.duplicated + each.hung for each in results)
    return Soak(
        seed,
        minutes=max((each.at for each in samples), default=0.0) / 60,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        machine=_rows.machine(),
        jobs=sum(each.jobs for each in results),
        faults=len(results) - 1,  # the first result is of what came before any
        wrong=wrong,
        left=sum(len(each.left) for each in results) - wrong,
        drifts=tuple(drifts(samples)),
    )


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


def write(soak: Soak, samples: Sequence[Sample], file: Path) -> None:
    """The judgement and what it was made of, as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    body = {"soak": asdict(soak), "samples": [asdict(each) for each in samples]}
    file.write_text(json.dumps(body) + "\n")


def read(body: Mapping[str, Any]) -> Soak:
    """The judgement in what `asdict` made of it."""
    return Soak(**{**body, "drifts": tuple(Drift(**each) for each in body["drifts"])})


def markdown(soak: Soak) -> str:
    """A line, and a table of every series."""
    said = (
        f"{soak.minutes:.0f} minutes, {soak.jobs} jobs, {soak.faults} faults, seed {soak.seed}, on {soak.date}: "
        f"{soak.wrong} jobs lost, done twice or hung, {soak.left} things left over. {soak.machine}."
    )
    lines = [
        "| process or stream | figure | second third | last third | per hour | flat |",
        "| --- | --- |" + " ---: |" * 4,
    ]
    for each in soak.drifts:
        figures = f"{each.before:.1f} | {each.after:.1f} | {each.per_hour:+.1f}"
        lines.append(f"| {each.name} | {UNITS[each.what]} | {figures} | {'yes' if each.flat else '**no**'} |")
    return f"{said}\n\n" + "\n".join(lines)
