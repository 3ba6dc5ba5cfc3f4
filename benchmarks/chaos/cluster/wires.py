"""A loop on a thread of its own, on which all that listens lives: taps, proxies, the watch, the harness's own bus.

The harness is plain code on the main thread, for the kernel ties a child to the thread that started it; while it waits
for a process, the wires of all others have to go on.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any, Protocol, TypeVar

from rise_contracts import errors

T = TypeVar("T")
PATIENCE_S = 60.0


class Hold(Protocol):
    """What waits for a message on some wire, and holds it."""

    met: asyncio.Event

    def let_go(self) -> None: ...

    def drop(self) -> None: ...


class Wires:
    """`close` ends everything that was entered, last first."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._entered = AsyncExitStack()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T], seconds: float = PATIENCE_S) -> T:
        """What `work` gives, done over there. Raises TimeoutError after `seconds`."""

        async def limited() -> T:
            async with asyncio.timeout(seconds):
                return await work

        return asyncio.run_coroutine_threadsafe(limited(), self._loop).result()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Have `work` done over there, meanwhile."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def do(self, action: Callable[[], T]) -> T:
        """What `action` gives, called over there."""

        async def acted() -> T:
            return action()

        return self.call(acted())

    def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Have it open until `close`."""
        return self.call(self._entered.enter_async_context(context))

    def first_met(self, holds: list[Hold], seconds: float = PATIENCE_S) -> Hold:
        """The hold that caught its message; the others wait no more. Raises Waited."""

        async def wait() -> Hold:
            waiting = {asyncio.ensure_future(hold.met.wait()): hold for hold in holds}
            done, _ = await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            met = next((hold for task, hold in waiting.items() if task in done), None)
            for hold in holds:
                if hold is not met:
                    hold.let_go()
            if met is None:
                raise errors.Waited("the message that names the moment", seconds)
            return met

        return self.call(wait(), seconds + 5.0)

    def close(self) -> None:
        try:
            self.call(self._left())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(PATIENCE_S)
            self._loop.close()

    async def _left(self) -> None:
        """Leave all that was entered, and end what still answers somebody who is gone."""
        await self._entered.aclose()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
