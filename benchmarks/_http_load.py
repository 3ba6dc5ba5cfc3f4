"""Requests at a given rate over kept connections, each timed from the moment it was due.

A client that is late itself makes its request late, and that counts: latencies from the sending on would hide the very
queue that is looked for. The client is a few lines over a socket, for a full one takes more of the machine than what is
measured.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass
class Answered:
    """The seconds that each request took, and the statuses other than 200."""

    seconds: list[float] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)


class Connection:
    """One kept connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer, which must say its length."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
        return int(lines[0].split()[1]), await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()


async def connect(address: tuple[str, int]) -> Connection:
    """A connection to a server."""
    return Connection(*await asyncio.open_connection(*address))


def post(path: str, body: bytes) -> bytes:
    """A request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """The same without a body."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def due(rate: float, count: int, seed: int | None) -> Iterator[float]:
    """When each request is due: evenly, or with a seed as a Poisson process of that rate."""
    at, draws = 0.0, random.Random(seed)
    for _ in range(count):
        yield at
        at += 1.0 / rate if seed is None else draws.expovariate(rate)


async def load(
    address: tuple[str, int], requests: Sequence[bytes], times: Sequence[float], connections: int = 32
) -> Answered:
    """Send each request when it is due, or as soon as one of the connections is free."""
    everyone = [await connect(address) for _ in range(connections)]
    free: asyncio.Queue[Connection] = asyncio.Queue()  # the one that rested longest is next: none is hung up on
    for connection in everyone:
        free.put_nowait(connection)
    answered = Answered()

    async def one(request: bytes, at: float) -> None:
        connection = await free.get()
        status, _ = await connection.send(request)
        answered.seconds.append(time.perf_counter() - at)
        free.put_nowait(connection)
        if status != 200:
            answered.bad.append(status)

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for request, after in zip(requests, times, strict=True):
            at = began + after
            await asyncio.sleep(max(at - time.perf_counter(), 0.0))
            group.create_task(one(request, at))
    for connection in everyone:
        connection.close()
    return answered
