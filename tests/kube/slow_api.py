"""An API server that is slow to take what is written, as a busy one is: a proxy before the real one.

Leases are let through, and so is what is only read: it is the line of writes that grows.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

START_S = 30.0
_OF_ONE_LEG = {"connection", "host", "keep-alive", "transfer-encoding", "content-length"}
"""Headers that are about one connection and not about what goes over both."""


class SlowApi:
    """Before the server of `kubeconfig`, whose user must have a token, for a certificate cannot be passed on.

    `start` it, use its own `kubeconfig`, and `close` it. `waiting` counts the writes that are held back now.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._config = yaml.safe_load(kubeconfig.read_text())
        self.kubeconfig, self.waiting = kubeconfig.with_suffix(".slow"), 0
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

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        cluster = self._config["clusters"][0]["cluster"]
        trusted = ssl.create_default_context(
            cadata=base64.b64decode(cluster.pop("certificate-authority-data")).decode()
        )
        connector = aiohttp.TCPConnector(ssl=trusted, limit=0)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(cluster["server"], connector=connector, auto_decompress=False) as session:
            self._session = session
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            cluster["server"] = f"http://{host}:{port}"
            self.kubeconfig.touch(mode=0o600)
            self.kubeconfig.write_text(json.dumps(self._config))
            self._listening.set()
            await self._ended.wait()
            await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method != "GET" and "/leases" not in request.path:
            self.waiting += 1
            try:
                await self._free.wait()
            finally:
                self.waiting -= 1
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_ONE_LEG}
        endless = aiohttp.ClientTimeout(total=None)
        async with self._session.request(
            request.method, request.rel_url, data=body or None, headers=headers, timeout=endless
        ) as told:
            kept = {name: value for name, value in told.headers.items() if name.lower() not in _OF_ONE_LEG}
            answer = web.StreamResponse(status=told.status, headers=kept)
            await answer.prepare(request)
            async for part in told.content.iter_any():
                await answer.write(part)
            await answer.write_eof()
            return answer
