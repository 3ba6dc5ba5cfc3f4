"""What the scheduler's bus tests share: replicas in this process and as processes, workers' heartbeats, outcomes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rise_contracts import codec, errors, subjects
from rise_contracts.messages import Configure, Decision, Heartbeat, Outcome
from rise_contracts.resources import ModelFamily
from rise_runtime import layout, services, streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus, connect
from rise_runtime.families import Families
from rise_scheduler import posterior_json
from rise_scheduler.composed import knowledge_npz
from rise_scheduler.composed.knowledge import Knowledge
from rise_scheduler.context import FEATURES
from rise_scheduler.policies import FixedPolicy, Policy
from rise_scheduler.posterior import Posterior
from rise_scheduler.service import Scheduler
from tests.servers import Server
from tests.unit.scheduler.builders import family, worker

PATIENCE_S = 60.0
LEARNED = "linucb.rise-shapes"
COMPOSED = "composed.rise-shapes"


@asynccontextmanager
async def replica(server: Server, policy: Policy | None = None) -> AsyncIterator[Scheduler]:
    """A scheduler with a connection of its own."""
    async with connect(server.url, server.token, patience=PATIENCE_S) as bus:
        scheduler = Scheduler(bus, policy or FixedPolicy(), default_reference_s=5.0)
        try:
            await scheduler.start()
            yield scheduler
        finally:
            await scheduler.stop()


async def prepare(bus: Bus, *workers: Heartbeat, known: ModelFamily | None = None) -> None:
    """Streams and buckets, a family, and these workers (or one of each tier)."""
    await layout.ensure(bus)
    await Families(bus).publish(known or family())
    await beat(bus, *(workers or (worker(), worker("device-0", "device"))))


async def beat(bus: Bus, *workers: Heartbeat) -> None:
    """One heartbeat of each worker."""
    for one in workers:
        await Bucket(bus, subjects.KV_WORKERS).put(
            subjects.heartbeat(one.tier, one.pool, one.worker), codec.encode(one)
        )


async def ask(bus: Bus, question: Configure) -> Decision:
    """The scheduler's answer. While it has not seen the workers they go on beating, as real ones do."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await services.ask(bus, subjects.CONFIGURE, question, Decision, timeout=10.0)
        except (errors.RemoteError, errors.NoResponder) as error:
            if not error.retriable or time.monotonic() > deadline:
                raise
        await beat(bus, worker(), worker("device-0", "device"))


async def send(bus: Bus, *outcomes: Outcome) -> None:
    """Store outcomes, as drivers do."""
    for outcome in outcomes:
        await streams.store(bus, subjects.OUTCOMES, codec.encode(outcome))


async def learned(bus: Bus, outcomes: int, *, settled_finally: int = 0) -> Posterior:
    """What was learned, once it holds so many outcomes (and so many final qualities among the settled)."""
    async with asyncio.timeout(PATIENCE_S):
        async for entry in Bucket(bus, subjects.KV_SCHEDULER).watch(LEARNED):
            if entry is None or entry.value is None:
                continue
            posterior = posterior_json.load(entry.value, FEATURES)
            final = sum(1 for settled in posterior.settled.values() if settled.final)
            if posterior.outcomes >= outcomes and final >= settled_finally:
                return posterior
    raise AssertionError("the watch ended")


async def known(bus: Bus, outcomes: int) -> Knowledge:
    """What the composed policy has learned, once it holds so many outcomes."""
    async with asyncio.timeout(PATIENCE_S):
        async for entry in Bucket(bus, subjects.KV_SCHEDULER).watch(COMPOSED):
            if entry is not None and entry.value is not None:
                knowledge = knowledge_npz.load(entry.value)
                if knowledge.clock >= outcomes:
                    return knowledge
    raise AssertionError("the watch ended")


async def process(server: Server, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """`python -m rise_scheduler`."""
    given = {"RISE_NATS_URL": server.url, "RISE_NATS_TOKEN": server.token, "OMP_NUM_THREADS": "1"}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rise_scheduler",
        *arguments,
        env={**os.environ, **given, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
