"""Keys that something has happened to, each handed to one worker at a time.

The same shape as the work queue of Kubernetes' own controllers (client-go's `util/workqueue`): a key that is added
while it waits is there once; one that is added while it is worked on comes again afterwards; one that fails comes
again later each time.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_S = 0.1
MOST_S = 30.0


class WorkQueue(Generic[K]):
    """`handle` is called for each key, by `workers` tasks at once, and may ask to be called again later by giving
    seconds. `failed` hears of what it raises."""

    def __init__(
        self,
        handle: Callable[[K], Awaitable[float | None]],
        failed: Callable[[K, Exception], None],
        *,
        workers: int,
    ) -> None:
        self._handle, self._failed, self._count = handle, failed, workers
        self._ready: deque[K] = deque()
        self._waiting: set[K] = set()
        self._busy: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is worked on; what is due later does not count."""
        return not self._ready and not self._busy

    def add(self, key: K) -> None:
        """Have `key` looked at, soon and at least once from now."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Have `key` looked at in `seconds`, or earlier where that was asked for."""
        loop = asyncio.get_running_loop()
        due, there = loop.time() + max(0.0, seconds), self._timers.get(key)
        if there is not None and there.when() <= due:
            return
        if there is not None:
            there.cancel()
        self._timers[key] = loop.call_at(due, self._ring, key)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._count):
                group.create_task(self._work())

    def _ring(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def _next(self) -> K:
        while not self._ready:
            self._wake.clear()
            await self._wake.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._busy.add(key)
        return key

    async def _work(self) -> None:
        while True:
            key = await self._next()
            try:
                again = await self._handle(key)
            except Exception as error:  # noqa: BLE001 - one object that goes wrong must not stop the others
                self._failures[key] = self._failures.get(key, 0) + 1
                self._failed(key, error)
                again = pause(self._failures[key])
            else:
                self._failures.pop(key, None)
            finally:
                self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)
            elif again is not None:
                self.add_after(key, again)


def pause(failures: int) -> float:
    """Seconds to wait after so many failures in a row: twice as long each time, and not all at once."""
    return random.uniform(0.5, 1.0) * min(MOST_S, FIRST_S * 2.0 ** min(failures, 16))
