"""Worker processes for tests that kill them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bus.runtime import small
from tests.servers import Server


@pytest.fixture
async def start(nats_server: Server, tmp_path: Path) -> AsyncIterator[small.Start]:
    """Starts worker processes by name; none outlives the test."""
    started: list[small.WorkerProcess] = []

    async def start_one(name: str, *, slots: int = 1) -> small.WorkerProcess:
        process = await small.WorkerProcess.start(nats_server.url, nats_server.token, name, tmp_path, slots)
        started.append(process)
        return process

    yield start_one
    for process in started:
        await process.kill()
