"""Candidates for leadership, and the clock that they read."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from rise_operator.lease import Election
from rise_runtime.together import meanwhile


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def running(*elections: Election) -> AsyncIterator[None]:
    async with meanwhile(*(election.run() for election in elections)):
        yield


async def won(election: Election) -> None:
    async with asyncio.timeout(30):
        await election.won.wait()
