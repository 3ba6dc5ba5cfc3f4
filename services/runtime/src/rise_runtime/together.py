"""Running parts: those that belong together, of which the first to end ends all, those that go on beside a block, and
those that are kept up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from rise_contracts import errors
from rise_runtime.bus import Bus

log = logging.getLogger(__name__)

AGAIN_S: Final = 0.5


async def together(*parts: Coroutine[Any, Any, object]) -> None:
    """Run `parts` until one returns or raises; the others are cancelled, and its error is raised."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def meanwhile(*parts: Coroutine[Any, Any, object]) -> AsyncIterator[None]:
    """Run `parts` for the length of the block. How one ends does not matter: at the end all are cancelled."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def kept_up(bus: Bus, work: Callable[[Bus], Awaitable[None]], what: str) -> None:
    """`work`, again and again: it keeps nothing that is not on the bus, and a server that is away comes back. Raises
    BusUnavailable once the connection is closed for good; every other end is logged as that of `what`."""
    while True:
        try:
            await work(bus)
        except errors.RiseError as error:
            log.warning("%s ended, and is begun anew: %s", what, error)
        except Exception:
            log.exception("%s ended, and is begun anew", what)
        if bus.closed.is_set():
            raise errors.BusUnavailable(bus.url, "the connection was closed for good")
        await asyncio.sleep(AGAIN_S)
