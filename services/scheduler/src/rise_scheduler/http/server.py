"""uvicorn in this process' own event loop, beside the bus."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from rise_contracts.errors import InvalidInput

log = logging.getLogger(__name__)

CONNECTIONS = 256
"""More at once are answered with 503."""
IDLE_S = 5.0
GRACE_S = 3.0
HEAD_LIMIT = 16 * 1024
"""Bytes of a request's line and headers."""


class _Impatient(H11Protocol):
    """Hangs up on whoever connects, or begins a request, and then says nothing: uvicorn itself waits for ever."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._be_impatient()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr]  # None at first
            self._be_impatient()

    def _be_impatient(self) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)


class _Server(uvicorn.Server):
    """Leaves the signals to the process, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextlib.asynccontextmanager
async def served(app: FastAPI, address: tuple[str, int]) -> AsyncIterator[tuple[str, int]]:
    """Serve `app` at `address` for the length of the block; gives the address it got.

    Requests at work are ended before the block is left, within seconds. Raises InvalidInput where the port is taken.
    """
    listener = bound(address)
    server = _Server(
        uvicorn.Config(
            app,
            http=_Impatient,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=int(IDLE_S),
            timeout_graceful_shutdown=int(GRACE_S),
            h11_max_incomplete_event_size=HEAD_LIMIT,
        )
    )
    serving = asyncio.create_task(server.serve([listener]))
    try:
        listening = asyncio.create_task(server.listening.wait())
        await asyncio.wait({serving, listening}, return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        if serving.done():
            serving.result()
        host, port = listener.getsockname()[:2]
        log.info("HTTP at %s port %d", host, port)
        yield host, port
    finally:
        server.should_exit = True
        await serving


def bound(address: tuple[str, int]) -> socket.socket:
    """A socket that listens there. Raises InvalidInput where it cannot."""
    host, port = address
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        # By its protocol: asyncio sets TCP_NODELAY for that alone, and an answer is two writes, of which the second would
        # wait 40 ms for the acknowledgement of the first.
        listener = socket.socket(found[0][0], socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(found[0][4])
            listener.listen()
        except OSError:
            listener.close()
            raise
    except OSError as error:
        got = f"{host}:{port} ({error.strerror or error})"
        raise InvalidInput("RISE_HTTP", "an address to listen on", got, "choose another port") from error
    return listener
