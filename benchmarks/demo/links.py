"""A shaped link: a TCP proxy in front of the NATS server that a worker connects through.

Both directions have the link's delay and its rate, each its own. Bytes are kept in order and never lost: it is a slow
link, not a bad one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

CHUNK = 16 * 1024
QUEUE = 64
"""Chunks under way in one direction; then the sender has to wait, as on a real link whose buffers are full."""


@dataclass(frozen=True)
class Link:
    """One way: seconds of delay, and bytes per second."""

    delay_s: float
    bytes_per_s: float


class ShapedProxy:
    """Passes connections on as slowly as its link says.

    Attributes:
        link: how slowly; may be set at any time.
        target: the host and port to pass them on to; to be set before anybody connects.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.target = ("127.0.0.1", 0)
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[ShapedProxy]:
        """Listen during the block; its connections are cut at the end."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            for task in tuple(self._connections):
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self.target)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(reader, far_writer))
                    both.create_task(self._carry(far_reader, writer))
            finally:
                far_writer.close()
        except* (OSError, asyncio.CancelledError):
            pass  # one of the ends is gone; the other is told by the closing
        finally:
            writer.close()
            self._connections.discard(task)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction of a connection, until its end has been carried too."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(QUEUE)
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._take_in(reader, queue))
            ends.create_task(_let_out(queue, writer))

    async def _take_in(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        now, free_at = asyncio.get_running_loop().time, 0.0
        while data := await reader.read(CHUNK):
            free_at = max(free_at, now()) + len(data) / self.link.bytes_per_s
            await queue.put((free_at + self.link.delay_s, data))
        await queue.put((free_at + self.link.delay_s, b""))


async def _let_out(queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
    now = asyncio.get_running_loop().time
    while True:
        due, data = await queue.get()
        await asyncio.sleep(max(0.0, due - now()))
        if not data:
            with contextlib.suppress(OSError):
                writer.write_eof()
            return
        writer.write(data)
        await writer.drain()
