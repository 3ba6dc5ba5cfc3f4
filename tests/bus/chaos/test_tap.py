"""The tap between a client and a real server: what it passes, holds, drops, cuts and slows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from benchmarks.chaos.tap import Tap, tapped
from benchmarks.chaos.wire import Said
from rise_contracts import errors
from rise_runtime.bus import Bus, Incoming, open_bus
from tests.servers import Server


@dataclass
class Heard:
    """What another client of the server gets."""

    payloads: list[bytes] = field(default_factory=list)

    def take(self, message: Incoming) -> None:
        self.payloads.append(message.data)

    async def have(self, *payloads: bytes) -> None:
        async with asyncio.timeout(20):
            while self.payloads != list(payloads):
                await asyncio.sleep(0.01)


@pytest.fixture
async def tap(nats_server: Server) -> AsyncIterator[Tap]:
    async with tapped(nats_server.url) as opened:
        yield opened


@pytest.fixture
async def client(tap: Tap, nats_server: Server) -> AsyncIterator[Bus]:
    opened = await open_bus(tap.url, nats_server.token, patience=10.0)
    yield opened
    await opened.close()


@pytest.fixture
async def heard(bus: Bus) -> Heard:
    found = Heard()
    await bus.subscribe("told.>", found.take)
    await bus.barrier()
    return found


def tells(payload: bytes) -> bool:
    return payload == b"now"


def named(said: Said) -> bool:
    return said.subject == "told.b" and said.payload == b"now"


async def test_everything_passes_both_ways(client: Bus, bus: Bus, heard: Heard) -> None:
    async def echo(message: Incoming) -> None:
        await bus.publish(message.reply, message.data[::-1])

    await bus.subscribe("ask", echo)
    await bus.barrier()
    body = bytes(range(256)) * 4096 + b"\r\nPUB told.x 1\r\nx\r\n"
    assert (await client.request("ask", body, headers={"A": "b"})).data == body[::-1]
    await client.publish("told.a", b"one")
    await heard.have(b"one")


async def test_the_message_that_names_the_moment_is_held_with_all_that_follows(
    tap: Tap, client: Bus, bus: Bus, heard: Heard
) -> None:
    hold = tap.hold(named)
    await client.publish("told.b", b"before")
    await client.publish("told.b", b"now")
    await client.publish("told.a", b"after")
    await asyncio.wait_for(hold.met.wait(), 10)
    await heard.have(b"before")
    await bus.barrier()
    assert heard.payloads == [b"before"]
    assert hold.said is not None and hold.said.subject == "told.b"
    hold.let_go()
    await heard.have(b"before", b"now", b"after")


async def test_a_moment_may_be_a_sequence(tap: Tap, client: Bus, heard: Heard) -> None:
    hold = tap.hold(lambda said: said.payload == b"first", named)
    await client.publish("told.b", b"now")
    await heard.have(b"now")
    await client.publish("told.b", b"first")
    await heard.have(b"now", b"first")
    assert not hold.met.is_set()
    await client.publish("told.b", b"now")
    await asyncio.wait_for(hold.met.wait(), 10)
    hold.let_go()
    await heard.have(b"now", b"first", b"now")


async def test_what_is_dropped_never_arrives_and_the_client_comes_back(
    tap: Tap, client: Bus, bus: Bus, heard: Heard
) -> None:
    hold = tap.hold(named)
    back = asyncio.Event()
    client.on_reconnect(back.set)
    await client.publish("told.b", b"now")
    await asyncio.wait_for(hold.met.wait(), 10)
    hold.drop()
    await asyncio.wait_for(back.wait(), 10)
    await client.publish("told.a", b"later")
    await heard.have(b"later")


async def test_what_a_client_has_said_arrives_also_when_it_is_gone(
    tap: Tap, nats_server: Server, bus: Bus, heard: Heard
) -> None:
    short = await open_bus(tap.url, nats_server.token, patience=10.0)
    hold = tap.hold(named)
    await short.publish("told.b", b"now")
    await short.publish("told.b", b"last words")
    await asyncio.wait_for(hold.met.wait(), 10)
    await short.close()
    await bus.barrier()
    assert heard.payloads == []
    hold.let_go()
    await heard.have(b"now", b"last words")


async def test_a_hold_that_is_let_go_before_its_moment_holds_nothing(tap: Tap, client: Bus, heard: Heard) -> None:
    hold = tap.hold(named)
    hold.let_go()
    await client.publish("told.b", b"now")
    await heard.have(b"now")
    assert not hold.met.is_set()


async def test_a_cut_is_silence_and_what_was_said_comes_when_it_is_mended(tap: Tap, client: Bus, heard: Heard) -> None:
    tap.cut()
    await client.publish("told.a", b"late")
    with pytest.raises(errors.Waited):
        await client.request("$JS.API.INFO", timeout=0.5)
    assert client.connected
    assert heard.payloads == []
    tap.mend()
    await heard.have(b"late")


async def test_one_way_alone_can_be_cut(tap: Tap, client: Bus, bus: Bus, heard: Heard) -> None:
    deaf = Heard()
    await client.subscribe("down", deaf.take)
    await client.barrier()
    tap.cut(up=False)
    await bus.publish("down", b"to a deaf one")
    await client.publish("told.a", b"from a deaf one")
    await heard.have(b"from a deaf one")
    assert deaf.payloads == []
    tap.mend()
    await deaf.have(b"to a deaf one")
    tap.cut(down=False)
    await client.publish("told.a", b"unheard")
    await bus.publish("down", b"to one that is not heard")
    await deaf.have(b"to a deaf one", b"to one that is not heard")
    assert heard.payloads == [b"from a deaf one"]
    tap.mend()
    await heard.have(b"from a deaf one", b"unheard")


async def test_a_trickle_lets_through_no_more_than_its_rate(tap: Tap, client: Bus, bus: Bus) -> None:
    slow = Heard()
    await client.subscribe("down", slow.take)
    await client.barrier()
    rate = 20_000.0
    began = asyncio.get_running_loop().time()
    tap.slow(rate)
    for _ in range(10):
        await bus.publish("down", b"x" * 2_000)
    async with asyncio.timeout(20):
        while len(slow.payloads) < 10:
            await asyncio.sleep(0.01)
    took = asyncio.get_running_loop().time() - began
    assert took > 0.9 * 20_000 / rate


async def test_a_server_that_comes_back_is_found_behind_the_tap(
    tap: Tap, client: Bus, nats_server: Server, heard: Heard
) -> None:
    back = asyncio.Event()
    client.on_reconnect(back.set)
    nats_server.kill()
    nats_server.start()
    await asyncio.wait_for(back.wait(), 20)
    assert (await client.request("$JS.API.INFO", timeout=5.0)).data
