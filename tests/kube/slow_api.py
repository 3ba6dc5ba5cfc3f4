"""An API server that is slow to take what is written, as a busy one is: a proxy before the real one.

Leases are let through, and so is what is only read: it is the line of writes that grows.
"""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from aiohttp import web

from tests.kube.api_proxy import ApiProxy

START_S = 30.0


class SlowApi(ApiProxy):
    """`start` it, on a thread of its own, use its `kubeconfig`, and `close` it. `waiting` counts the writes that are
    held back now."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(kubeconfig, "slow")
        self.waiting = 0
        self._loop, self._free, self._ended = asyncio.new_event_loop(), asyncio.Event(), asyncio.Event()
        self._free.set()
        self._listening = threading.Event()
        self._thread = threading.Thread(target=self._run, name="slow-api", daemon=True)

    def start(self) -> SlowApi:
        self._thread.start()
        assert self._listening.wait(START_S)
        return self

    def hold_writes(self) -> None:
        """From now on no write is passed on, until `let_go`."""
        self._loop.call_soon_threadsafe(self._free.clear)

    def let_go(self) -> None:
        self._loop.call_soon_threadsafe(self._free.set)

    def close(self) -> None:
        self.let_go()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(START_S)

    async def admit(self, request: web.Request, body: bytes) -> None:
        if request.method == "GET" or "/leases" in request.path:
            return
        self.waiting += 1
        try:
            await self._free.wait()
        finally:
            self.waiting -= 1

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with self.serving():
            self._listening.set()
            await self._ended.wait()
