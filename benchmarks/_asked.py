"""A scheduler process to ask: a nats-server, a family of 30 arms, and 20 workers that do nothing but beat."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks._bus import PATIENCE_S, start_nats
from rise_contracts import codec, errors, subjects
from rise_contracts.messages import Configure, Heartbeat, JobRequest, LinkQuality
from rise_contracts.resources import ModelFamily, RelayJobSpec
from rise_runtime import layout
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus, connect
from rise_runtime.families import Families
from rise_shapes.grammar import caption
from rise_shapes.scene import draw_scene
from tests.kube.children import Child, free_ports

ROOT = Path(__file__).parents[1]
EDGE_WORKERS, POOL_WORKERS = 4, 4
DEVICE_POOLS = ("phone", "tablet", "laptop", "desk")
STEP_S = {"edge": {"large": 0.12, "medium": 0.07}, "device": {"small": 0.2, "tiny": 0.1, "micro": 0.05}}


@dataclass(frozen=True)
class Asked:
    """What runs: a connection to its bus, where it serves HTTP, and the processes by name."""

    bus: Bus
    address: tuple[str, int]
    parts: dict[str, Child]


def family() -> ModelFamily:
    """Two members on the edge, three on devices, the large one cut at six levels: 30 arms."""
    members = [
        {"name": "large", "parameters": 2_600_000_000, "defaultSteps": 24, "tier": "edge"},
        {"name": "medium", "parameters": 1_300_000_000, "defaultSteps": 24, "tier": "edge"},
        {"name": "small", "parameters": 700_000_000, "defaultSteps": 20, "tier": "device"},
        {"name": "tiny", "parameters": 300_000_000, "defaultSteps": 16, "tier": "device"},
        {"name": "micro", "parameters": 100_000_000, "defaultSteps": 12, "tier": "device"},
    ]
    cuts = {2.5: 7, 1.8: 9, 1.3: 10, 0.9: 11, 0.6: 13, 0.4: 14}
    relays = [
        {
            "name": f"{tail}-{number}",
            "stages": [
                {"member": "large", "steps": steps, "untilSigma": sigma},
                {"member": tail, "steps": 24 - steps},
            ],
        }
        for number, (sigma, steps) in enumerate(cuts.items())
        for tail in ("small", "tiny", "micro")
    ]
    spec = {"base": {"builtin": "rise-shapes"}, "members": members, "relays": relays}
    return ModelFamily.model_validate({"metadata": {"name": "bench"}, "spec": spec})


def workers(at: float) -> list[Heartbeat]:
    """Twenty, each with every member of its tier loaded and measured."""
    places = [("edge", "gpu", number) for number in range(EDGE_WORKERS)]
    places += [("device", pool, number) for pool in DEVICE_POOLS for number in range(POOL_WORKERS)]
    return [_worker(tier, pool, number, at) for tier, pool, number in places]


def _worker(tier: str, pool: str, number: int, at: float) -> Heartbeat:
    values: dict[str, Any] = {
        "worker": f"{pool}-{number}",
        "tier": tier,
        "pool": pool,
        "pid": 1,
        "at": at,
        "families": ("bench",),
        "members": tuple(STEP_S[tier]),
        "seconds_per_step": {name: seconds * (1 + 0.1 * number) for name, seconds in STEP_S[tier].items()},
        "slots": 8 if tier == "edge" else 1,
        "link": LinkQuality(rtt_s=0.01, bytes_per_s=2e6),
    }
    return Heartbeat.model_validate(values)


def question(number: int) -> Configure:
    """The job of that number: each another prompt, another preference."""
    prompt = caption(draw_scene(random.Random(number)).scene)
    spec = RelayJobSpec(prompt=prompt, family="bench", preference=(number % 5) / 4)
    request = JobRequest(job_id=f"job-{number}", spec=spec, seed=number, accepted_at=time.time())
    return Configure(request=request, attempt=1)


@contextlib.asynccontextmanager
async def running(folder: Path, policy: str) -> AsyncIterator[Asked]:
    """Everything, with a scheduler that answers."""
    with ExitStack() as closing:
        token = secrets.token_hex(16)
        nats, url = start_nats(folder, token, closing)
        (port,) = free_ports(1)
        environ = {**os.environ, "RISE_NATS_TOKEN": token, "RISE_LOG_LEVEL": "WARNING", "OMP_NUM_THREADS": "1"}
        command = ("-m", "rise_scheduler", "--nats-url", url, "--policy", policy, "--http", str(port))
        scheduler = Child("scheduler", (sys.executable, *command), folder / "scheduler.log", environ)
        closing.callback(scheduler.kill)
        async with connect(url, token, name="bench") as bus:
            await layout.ensure(bus)
            await Families(bus).publish(family())
            beating = asyncio.create_task(_beat(bus))
            scheduler.start()
            try:
                await _until_open(port)
                yield Asked(bus, ("127.0.0.1", port), {"nats": nats, "scheduler": scheduler})
            finally:
                beating.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await beating


async def _beat(bus: Bus) -> None:
    """Each worker beats once a second, one after another as they do."""
    bucket, everyone = Bucket(bus, subjects.KV_WORKERS), workers(time.time())
    while True:
        for worker in everyone:
            key = subjects.heartbeat(worker.tier, worker.pool, worker.worker)
            await bucket.put(key, codec.encode(worker.model_copy(update={"at": time.time()})))
            await asyncio.sleep(subjects.HEARTBEAT_S / len(everyone))


async def _until_open(port: int) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > give_up:
                raise errors.Waited("the scheduler's HTTP", PATIENCE_S) from None
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
