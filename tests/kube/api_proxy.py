"""A proxy before a real API server: everything goes through, but for what whoever derives from it holds back."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web

_OF_ONE_LEG = {"connection", "host", "keep-alive", "transfer-encoding", "content-length"}
"""Headers that are about one connection and not about what goes over both."""


class Dropped(Exception):
    """The connection ends here, without an answer."""


class ApiProxy:
    """Before the server of `kubeconfig`, whose user must have a token, for a certificate cannot be passed on.

    Clients take its own `kubeconfig`, which is that one with `name` behind its own name, while it is `serving`.
    """

    def __init__(self, kubeconfig: Path, name: str) -> None:
        self._config = yaml.safe_load(kubeconfig.read_text())
        self.kubeconfig = kubeconfig.with_suffix(f".{name}")

    async def admit(self, request: web.Request, body: bytes) -> None:
        """Return when the request may go to the server. Raises Dropped where it never may."""

    async def answered(self, request: web.Request, body: bytes, status: int) -> None:
        """Return when the server's answer may go back. Raises Dropped as `admit` does."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Take requests on the loopback for the length of the block."""
        cluster = self._config["clusters"][0]["cluster"]
        trusted = ssl.create_default_context(
            cadata=base64.b64decode(cluster.pop("certificate-authority-data")).decode()
        )
        connector = aiohttp.TCPConnector(ssl=trusted, limit=0)
        application = web.Application(client_max_size=2**24)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        async with aiohttp.ClientSession(cluster["server"], connector=connector, auto_decompress=False) as session:
            self._session = session
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                host, port = runner.addresses[0][:2]
                cluster["server"] = f"http://{host}:{port}"
                self.kubeconfig.touch(mode=0o600)
                self.kubeconfig.write_text(json.dumps(self._config))
                yield
            finally:
                await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._pass_on(request)
        except (Dropped, aiohttp.ClientError, OSError):
            # What the server does with a connection is done with the client's: no answer of the proxy's own.
            if request.transport is not None:
                request.transport.abort()
            raise asyncio.CancelledError from None  # to aiohttp: the client is gone

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        await self.admit(request, body)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OF_ONE_LEG}
        endless = aiohttp.ClientTimeout(total=None)
        async with self._session.request(
            request.method, request.rel_url, data=body or None, headers=headers, timeout=endless
        ) as told:
            await self.answered(request, body, told.status)
            kept = {name: value for name, value in told.headers.items() if name.lower() not in _OF_ONE_LEG}
            answer = web.StreamResponse(status=told.status, headers=kept)
            try:
                await answer.prepare(request)
                async for part in told.content.iter_any():
                    await answer.write(part)
                await answer.write_eof()
            except BaseException:
                # A watch that is cut off: TLS would take its leave for longer than this loop lives.
                if told.connection is not None and told.connection.transport is not None:
                    told.connection.transport.abort()
                raise
            return answer
