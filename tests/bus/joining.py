"""A machine that joins a platform, works, and leaves: `rise join` as its owner types it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

from rise_contracts import codec, manifest, messages, subjects
from rise_runtime import client
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.heartbeat import Workers
from tests.bus import cli
from tests.bus.runtime import small


async def make_known(bus: Bus, home: cli.Home) -> None:
    """What the platform tells of the home's family: a device may not."""
    family = manifest.load_family(home.family.read_text(), "family")
    await Bucket(bus, subjects.KV_FAMILIES).put(family.metadata.name, codec.encode(family))


@contextlib.asynccontextmanager
async def joined(bus: Bus, home: cli.Home, url: str, name: str, *asked: str) -> AsyncIterator[None]:
    """While the device is there, ready for work; at the end it is told to leave, and leaves in peace."""
    process = home.start("join", "--nats", url, "--name", name, *asked, "--family", str(home.family))
    try:
        await Workers(bus).until_ready([name], 60.0, "see what it says")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        said = await asyncio.to_thread(cli.ended, process)
        assert said.code == 0, said.err


async def draws(bus: Bus, worker: str) -> None:
    """A job goes through, and is this worker's."""
    job = await client.submit(bus, small.spec("a red circle"))
    async with asyncio.timeout(60):
        done = await client.wait(bus, job.job_id)
    assert isinstance(done, messages.JobDone), done
    assert done.worker == worker
