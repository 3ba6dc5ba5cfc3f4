"""`rise bench handoff`: from the last step of the head to the first of the tail, both processes on one machine.

Jobs of a family whose denoiser costs next to nothing run through a real platform, with latents of the sizes that real
families hand over: SDXL at 1024 pixels (128 KiB), SD 3.5 and FLUX.1 (512 KiB), a Wan video (4 MiB). In between lie
packing, storing, delivery, checking and unpacking. The prompt is the same each time, so both sides have it encoded
already. Beside it: what the raw bus takes for as many bytes, stored and delivered to a second connection.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks import _rows, _thin
from benchmarks._rows import Row, row
from rise_cli import sessions
from rise_cli.local.platform import Plan, Platform
from rise_contracts import manifest, subjects
from rise_contracts.messages import JobDone, StageReport
from rise_contracts.model import WireDtype
from rise_contracts.resources import RelayJobSpec, RelaySpec, StageSpec
from rise_runtime import client, layout, streams
from rise_runtime.bus import Bus, connect
from rise_runtime.pulls import Consumer

BEFORE_STEPS = ("waited", "load", "receive", "encode")
WARM = 10
"""Jobs of each size that are not counted."""
RAW_POOL = "raw"


@dataclass(frozen=True)
class Size:
    """Four channels of `side` x `side` in `dtype` are what the row's name says; `most_ms` is the goal."""

    name: str
    side: int
    dtype: WireDtype
    nbytes: int
    most_ms: float


SIZES = (
    Size("handoff_128KiB_ms", 128, "fp16", 128 * 1024, 5),
    Size("handoff_512KiB_ms", 256, "fp16", 512 * 1024, 10),
    Size("handoff_4MiB_ms", 512, "fp32", 4 * 1024 * 1024, 40),
)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    parser = argparse.ArgumentParser(prog="rise bench handoff", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-handoff.json"), help="where the rows go")
    parser.add_argument("--repeats", type=int, default=40, help="jobs of each size (default 40)")
    options = parser.parse_args(argv)
    rows = asyncio.run(measure(options.repeats))
    _rows.report(rows, options.json)
    return 0


async def measure(repeats: int) -> list[Row]:
    """A row for each size: ours, and the raw bus beside it."""
    rows = []
    async with _platform() as running:
        for size in SIZES:
            ours = await _handoffs(running.bus, size, repeats)
            raw = await _raw(running, size.nbytes, repeats)
            found = median(ours)
            rows.append(
                row(
                    size.name, found, median(raw), "ms, p50", repeats, f"<= {size.most_ms:g}", met=found <= size.most_ms
                )
            )
    return rows


@asynccontextmanager
async def _platform() -> AsyncIterator[Platform]:
    with TemporaryDirectory() as folder:
        family = Path(folder) / "thin.yaml"
        family.write_text(manifest.dump(_thin.make(Path(folder) / "base")))
        plan = Plan(families=(str(family),), threads=1)
        async with sessions.driven(plan, Path(folder), Path(folder) / "store", print, lambda text: None) as running:
            yield running


async def _handoffs(bus: Bus, size: Size, repeats: int) -> list[float]:
    """Milliseconds between the last step of a head and the first of its tail; the first ones are not counted."""
    stages = (
        StageSpec(member="large", tier="edge", steps=2, until_sigma=1.0),
        StageSpec(member="small", tier="device", steps=1),
    )
    relay = RelaySpec(mode="Fixed", stages=stages, wire_dtype=size.dtype)
    spec = RelayJobSpec(family=_thin.NAME, prompt="a dot", width=size.side, height=size.side, seed=1, relay=relay)
    found = []
    for _ in range(repeats + WARM):
        record = await client.submit(bus, spec)
        ending = await client.wait(bus, record.job_id)
        if not isinstance(ending, JobDone):
            raise RuntimeError(f"job {record.job_id} ended as {ending.kind}: {ending}")
        head, tail = ending.stages
        if not size.nbytes <= head.handoff_bytes <= size.nbytes * 1.01:
            raise RuntimeError(f"wanted a handoff of {size.nbytes} bytes, got {head.handoff_bytes}")
        found.append(1e3 * (_first_step(tail) - _last_step(head)))
    return found[WARM:]


def _first_step(stage: StageReport) -> float:
    return stage.started_at + sum(stage.timings[part] for part in BEFORE_STEPS)


def _last_step(stage: StageReport) -> float:
    return _first_step(stage) + stage.timings["denoise"]


async def _raw(running: Platform, nbytes: int, repeats: int) -> list[float]:
    """Milliseconds from storing so many bytes in a queue to having them on another connection, acknowledged or not."""
    async with connect(running.server.url, running.server.token, name="rise-bench") as other:
        await layout.ensure_pool(running.bus, RAW_POOL)
        consumer = Consumer(
            other, subjects.work_stream(RAW_POOL), (subjects.work_filter(RAW_POOL, None),), durable="raw"
        )
        await consumer.start()
        found = []
        for number in range(repeats + WARM):
            waiting = asyncio.create_task(consumer.next())
            payload = os.urandom(nbytes)
            began = time.perf_counter()
            subject = subjects.work(RAW_POOL, None, f"raw-{nbytes}-{number}", 1)
            await streams.store(running.bus, subject, payload, msg_id=subject)
            delivery = await waiting
            found.append(1e3 * (time.perf_counter() - began))
            if delivery is not None:
                await delivery.ack()
        await consumer.stop(delete=True)
        return found[WARM:]
