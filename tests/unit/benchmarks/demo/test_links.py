"""A shaped link carries every byte in order, no sooner and no faster than it says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from benchmarks.demo.links import CHUNK, Link, ShapedProxy

FAST = Link(0.0, 1e12)
PATIENCE_S = 60.0

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def connected(
    link: Link, serve: Serve = echo
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, ShapedProxy]]:
    """A client behind a link, and a server before it."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy = ShapedProxy(link)
    proxy.target = server.sockets[0].getsockname()[:2]
    async with asyncio.timeout(PATIENCE_S), proxy.listening():
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            yield reader, writer, proxy
        finally:
            writer.close()
            server.close()


async def round_trip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes) -> float:
    now = asyncio.get_running_loop().time
    began = now()
    writer.write(data)
    assert await reader.readexactly(len(data)) == data
    return now() - began


async def test_a_round_trip_takes_the_delay_twice() -> None:
    async with connected(Link(0.05, 1e12)) as (reader, writer, _):
        assert await round_trip(reader, writer, b"hello") >= 0.1


async def test_bytes_take_their_time_in_each_direction() -> None:
    async with connected(Link(0.0, 400_000)) as (reader, writer, _):
        # The way back begins as soon as the first chunk is there.
        assert await round_trip(reader, writer, bytes(range(256)) * 200) >= 51_200 / 400_000


async def test_much_is_carried_whole_and_in_order_through_a_full_queue() -> None:
    async with connected(FAST) as (reader, writer, _):
        await round_trip(reader, writer, b"".join(number.to_bytes(4) for number in range(40 * CHUNK)))


async def test_a_link_that_gets_better_is_better_at_once() -> None:
    async with connected(Link(0.1, 1e12)) as (reader, writer, proxy):
        assert await round_trip(reader, writer, b"slow") >= 0.2
        proxy.link = FAST
        slow = await round_trip(reader, writer, b"fast")
        proxy.link = Link(slow + 0.2, 1e12)
        assert await round_trip(reader, writer, b"slow again") >= slow + 0.2


async def test_the_end_of_one_side_reaches_the_other_after_all_bytes() -> None:
    async with connected(Link(0.02, 1e6)) as (reader, writer, _):
        writer.write(b"last words")
        writer.write_eof()
        assert await reader.read(-1) == b"last words"


async def test_a_server_that_hangs_up_is_seen_by_the_client() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with connected(FAST, rude) as (reader, _, _):
        assert await reader.read() == b""


async def test_where_nobody_listens_the_client_is_hung_up_on() -> None:
    proxy = ShapedProxy(FAST)
    proxy.target = ("127.0.0.1", 1)
    async with asyncio.timeout(PATIENCE_S), proxy.listening():
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()


async def test_the_end_of_the_proxy_cuts_its_connections() -> None:
    stack = contextlib.AsyncExitStack()
    reader, writer, _ = await stack.enter_async_context(connected(FAST))
    await round_trip(reader, writer, b"hello")
    await stack.aclose()
    with contextlib.suppress(ConnectionError):
        assert await reader.read() == b""
