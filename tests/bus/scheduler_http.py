"""A scheduler process that serves HTTP, for the tests that ask it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from rise_contracts import codec
from rise_contracts.messages import Configure, Decision, Outcome, UserAct
from tests.bus.scheduler_world import PATIENCE_S, process
from tests.servers import Server
from tests.unit.scheduler.builders import question

JSON = {"Content-Type": "application/json"}


@dataclass
class Running:
    """A scheduler process that serves HTTP; `said` is its log so far."""

    process: asyncio.subprocess.Process
    http: httpx.AsyncClient
    port: int
    said: list[str]

    async def post(self, path: str, message: Configure | Outcome | UserAct) -> httpx.Response:
        return await self.http.post(path, content=codec.encode(message), headers=JSON)

    async def decided(self, asked: Configure | None = None) -> Decision:
        """The answer, asked for as long as it is not there yet."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            response = await self.post("/v1/configurations", asked or question())
            if response.status_code != 503 or time.monotonic() > deadline:
                assert response.status_code == 200, response.text
                return codec.decode(Decision, response.content)


@asynccontextmanager
async def running(nats: Server, *arguments: str, **environment: str) -> AsyncIterator[Running]:
    """The process, until it has been told to stop and has stopped in good order."""
    child = await process(nats, "--http", "127.0.0.1:0", *arguments, **environment)
    said: list[str] = []
    try:
        port = await asyncio.wait_for(_port(child, said), PATIENCE_S)
        reading = asyncio.create_task(_read_on(child, said))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as http:
            yield Running(child, http, port, said)
            child.terminate()
            assert await asyncio.wait_for(child.wait(), PATIENCE_S) == 0
        await reading
        assert "Traceback" not in "".join(said)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


async def _port(child: asyncio.subprocess.Process, said: list[str]) -> int:
    assert child.stderr is not None
    while line := (await child.stderr.readline()).decode():
        said.append(line)
        if "HTTP at 127.0.0.1 port " in line:
            return int(line.split()[-1])
    raise AssertionError("".join(said))


async def _read_on(child: asyncio.subprocess.Process, said: list[str]) -> None:
    assert child.stderr is not None
    said.extend([line.decode() async for line in child.stderr])


def outcome_of(decision: Decision, **changes: object) -> Outcome:
    values = {
        "decision_id": decision.id,
        "job_id": decision.job_id,
        "arm": decision.arm,
        "latency_s": 1.0,
        "edge_s": 0.5,
    }
    return Outcome.model_validate(values | changes)
