"""A tap on the wire between one process and nats-server: it passes everything on, and holds what it is told to.

The seam of the fault matrix. A message names the moment of a fault: while it and all that follows is held, the process
behind the tap may be killed or frozen, or the link cut, and nothing of that depends on luck. Afterwards what was held
is let go (also of a process that is dead: its kernel would have sent it) or dropped.

The link's own faults are made here too: cut both ways or one, which is silence and not an end, and a trickle.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from benchmarks.chaos.wire import Match, Reader, Said

_READ: Final = 65_536
_BUFFER: Final = 64 * 1024
"""Bytes that the kernel takes in for a tap that does not read: few, so that the server notices a slow reader."""
_TICKS: Final = 20
"""A trickle flows in so many portions a second."""


class Hold:
    """Waits for messages in their order, and holds the last. `met` is set once it is held; `said` is that message."""

    def __init__(self, tap: Tap, until: tuple[Match, ...]) -> None:
        self._tap, self._left = tap, list(until)
        self.met = asyncio.Event()
        self.said: Said | None = None

    @property
    def tap(self) -> Tap:
        return self._tap

    def sees(self, said: Said) -> bool:
        """Whether `said` is the message that was waited for."""
        if not self._left or not self._left[0](said):
            return False
        del self._left[0]
        if self._left:
            return False
        self.said = said
        self.met.set()
        return True

    def let_go(self) -> None:
        """Pass on what is held, or wait for nothing any more."""
        self._tap.end_hold(self, drop=False)

    def drop(self) -> None:
        """Throw away what is held, and close the connections that it came on."""
        self._tap.end_hold(self, drop=True)


@dataclass(eq=False)
class _Line:
    """One connection."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    dropped: bool = False


class Tap:
    """Made by `tapped`. `url` is where the process finds its server."""

    def __init__(self, servers: Sequence[str]) -> None:
        parts = [urlsplit(server) for server in servers]
        self._servers = [(each.hostname or "127.0.0.1", each.port or 4222) for each in parts]
        self._own_port = 0
        self._lines: set[_Line] = set()
        self._serving: set[asyncio.Future[None]] = set()
        self._holds: list[Hold] = []
        self._holding: Hold | None = None
        self._flows, self._up, self._down = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._rate: float | None = None
        for gate in (self._flows, self._up, self._down):
            gate.set()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._own_port}"

    def hold(self, *until: Match) -> Hold:
        """Hold the message that the last of `until` matches, once the others were seen in their order."""
        hold = Hold(self, until)
        self._holds.append(hold)
        return hold

    def cut(self, *, up: bool = True, down: bool = True) -> None:
        """Nothing goes through any more, to the server (`up`) and to the process (`down`); nobody is told."""
        if up:
            self._up.clear()
        if down:
            self._down.clear()

    def mend(self) -> None:
        """All flows again, and what was under way comes late: TCP has kept it."""
        self._rate = None
        self._up.set()
        self._down.set()

    def slow(self, bytes_per_s: float) -> None:
        """The process takes no more than this from the server, until `mend`."""
        self._rate = bytes_per_s

    def end_hold(self, hold: Hold, *, drop: bool) -> None:
        """See `Hold`."""
        if hold in self._holds:
            self._holds.remove(hold)
        if self._holding is not hold:
            return
        if drop:
            for line in self._lines:
                line.dropped = True
        self._holding = None
        self._flows.set()

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, until either side ends it."""
        serving = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await self._dial()
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()  # as the kernel does where nobody listens
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            return
        line = _Line(writer, server_writer)
        self._lines.add(line)
        ways = {
            asyncio.create_task(self._to_server(reader, line)),
            asyncio.create_task(self._to_process(server_reader, line)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._lines.discard(line)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (line.client, line.server):
                with contextlib.suppress(OSError):
                    end.close()
                    await end.wait_closed()

    async def _dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The first server that answers. Raises OSError where none does."""
        for place, address in enumerate(self._servers):
            raw = socket.socket()
            raw.setblocking(False)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            try:
                await asyncio.get_running_loop().sock_connect(raw, address)
            except OSError:
                raw.close()
                if place == len(self._servers) - 1:
                    raise
            else:
                return await asyncio.open_connection(sock=raw, limit=_BUFFER)
        raise OSError("a tap before no server")

    async def _to_server(self, reader: asyncio.StreamReader, line: _Line) -> None:
        messages = Reader()
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ):
                for said in messages.feed(data):
                    if not await self._passes(said, line) or line.server.is_closing():
                        return
                    line.server.write(said.raw)
                await line.server.drain()
            await self._up.wait()  # who is cut off is not heard to leave either
            if await self._gates(line):
                line.server.write(messages.rest)
                await line.server.drain()

    async def _passes(self, said: Said, line: _Line) -> bool:
        """Wait until it may pass; whether it does."""
        if self._holding is None:
            met = next((hold for hold in self._holds if hold.sees(said)), None)
            if met is not None:
                self._holding = met
                self._flows.clear()
        return await self._gates(line)

    async def _gates(self, line: _Line) -> bool:
        while not (self._flows.is_set() and self._up.is_set()):
            await self._flows.wait()
            await self._up.wait()
        return not line.dropped

    async def _to_process(self, reader: asyncio.StreamReader, line: _Line) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_READ):
                while data:
                    part, data = data[: self._portion], data[self._portion :]
                    await self._down.wait()
                    await self._give(part, line)
            await self._down.wait()

    async def _give(self, part: bytes, line: _Line) -> None:
        """To the process, at the rate that is set. One that is dead takes nothing, and may still have to be heard."""
        if not line.client.is_closing():
            line.client.write(part)
            with contextlib.suppress(OSError):
                await line.client.drain()
        if self._rate is not None:
            await asyncio.sleep(len(part) / self._rate)

    @property
    def _portion(self) -> int:
        return _READ if self._rate is None else max(1, int(self._rate / _TICKS))

    async def close(self) -> None:
        """End every connection."""
        serving = tuple(self._serving)
        for each in serving:
            each.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self.connected, "127.0.0.1", 0)
        self._own_port = int(server.sockets[0].getsockname()[1])
        return server


@contextlib.asynccontextmanager
async def tapped(*servers: str) -> AsyncIterator[Tap]:
    """A tap before the nats-server at this URL, or the first of several that answers, for the length of the block."""
    tap = Tap(servers)
    listening = await tap.listen()
    try:
        yield tap
    finally:
        listening.close()
        await tap.close()
