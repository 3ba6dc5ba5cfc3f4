"""The election on a thread, a loop and a connection of its own.

What a leader does may hold up its loop for seconds, and its connections for longer: hundreds of status writes stand in
line before an API server that is slow. A renewal that waits in that line comes too late.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from rise_operator.api import Api
from rise_operator.aside import Aside
from rise_operator.lease import Election
from rise_operator.settings import Settings

Connect = Callable[[], AbstractAsyncContextManager[Api]]


@dataclass(frozen=True, slots=True)
class Candidacy:
    """One replica's.

    Attributes:
        election: `held`, `check`, `lost`, `identity` and, once it is won, `uid` may be asked from any thread.
        won: set once this replica leads.
        ended: done when leadership is lost; raises what the election did.
    """

    election: Election
    won: asyncio.Event
    ended: asyncio.Future[None]


@contextlib.asynccontextmanager
async def candidacy(settings: Settings, connect: Connect) -> AsyncIterator[Candidacy]:
    """Stand for the length of the block, and give leadership back at its end. The connection of `connect` is used on
    the other loop only."""
    loop, won = asyncio.get_running_loop(), asyncio.Event()
    standing: asyncio.Future[Election] = loop.create_future()

    async def stand() -> None:
        async with connect() as api:
            election = Election(
                api,
                settings.namespace,
                settings.lease,
                settings.identity,
                settings.lease_s,
                settings.watch_namespaces,
                on_won=lambda: loop.call_soon_threadsafe(won.set),
            )
            loop.call_soon_threadsafe(standing.set_result, election)
            try:
                await election.run()
            finally:
                await election.release()

    aside = Aside("lease", stand)
    try:
        either: set[asyncio.Future[Any]] = {standing, aside.ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not standing.done():
            await aside.ended
        yield Candidacy(standing.result(), won, aside.ended)
    finally:
        aside.cancel()
        await asyncio.wait({aside.ended})
