"""Stage workers as processes, and the rest of a platform around them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from rise_contracts import messages
from rise_contracts.configuration import Configuration
from rise_runtime import client
from rise_runtime.bus import Bus
from tests.bus.runtime import small
from tests.servers import Server

READY_S = 240.0
"""A worker imports torch and loads weights; on a busy machine that takes minutes."""


@contextmanager
def worker(server: Server, tier: str, family: Path, *more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process; it must end with 0 when it is told to."""
    command = [sys.executable, "-m", "rise_stage", "--tier", tier, "--name", f"{tier}-1", "--family", str(family)]
    environment = {**os.environ, "RISE_NATS_URL": server.url, "RISE_NATS_TOKEN": server.token}
    process = subprocess.Popen([*command, *more], env=environment)
    try:
        yield process
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


@asynccontextmanager
async def platform(bus: Bus, configuration: Configuration) -> AsyncIterator[None]:
    async with small.scheduler(bus, configuration), small.driver(bus):
        yield


async def beating(bus: Bus, workers: int) -> dict[str, messages.Heartbeat]:
    """The heartbeats of as many workers, once all are ready."""
    async with asyncio.timeout(READY_S):
        while True:
            beats = await client.list_workers(bus)
            if len(beats) == workers:
                return {beat.worker: beat for beat in beats}
            await asyncio.sleep(0.2)
