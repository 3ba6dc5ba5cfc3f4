"""A platform at work on a server with locks, each part of it under an identity of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from rise_contracts.rights import Principal
from rise_runtime import client, layout
from rise_runtime.bus import Bus
from rise_runtime.driving import DriverSettings
from tests.bus.runtime import small
from tests.bus.runtime.small import WorkerProcess
from tests.bus.security.matrix import AUDITOR, JUDGE, OPERATOR, SCHEDULER, USER
from tests.bus.security.people import People
from tests.servers import Server


class Day:
    """A platform at work; `buses` is everybody's connection."""

    def __init__(self, server: Server, people: People, folder: Path) -> None:
        self.url, self.people, self.folder = server.url.replace("nats://", "tls://"), people, folder
        self.buses: dict[Principal, Bus] = {}

    async def worker(self, who: Principal) -> WorkerProcess:
        """A process of its own."""
        return await WorkerProcess.start(self.url, self.people.environment(who), who.name, self.folder)

    async def made(self, seed: int, prompt: str = "a red circle") -> client.Result:
        """The pictures of a job that a user submits now."""
        user = self.buses[USER]
        job = await client.submit(user, small.spec(prompt, seed=seed))
        async with asyncio.timeout(60):
            await client.wait(user, job.job_id)
        return await client.fetch_result(user, job.job_id)


@contextlib.asynccontextmanager
async def day(
    server: Server,
    people: People,
    folder: Path,
    *workers: Principal,
    size: int = 32,
    settings: DriverSettings = small.PATIENT,
) -> AsyncIterator[Day]:
    """Operator, scheduler and a user, and these workers in this process."""
    today = Day(server, people, folder)
    async with contextlib.AsyncExitStack() as stack:
        for who in (OPERATOR, SCHEDULER, USER, JUDGE, AUDITOR, *workers):
            today.buses[who] = await stack.enter_async_context(people.bus(today.url, who))
        await layout.ensure(today.buses[OPERATOR])
        await stack.enter_async_context(small.scheduler(today.buses[SCHEDULER]))
        await stack.enter_async_context(small.driver(today.buses[OPERATOR], settings))
        for who in workers:
            await stack.enter_async_context(small.worker(today.buses[who], who.name, folder, size=size))
        yield today
