"""Services that the NATS tools can find: the micro protocol over a real server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from rise_contracts import errors, messages
from rise_runtime import services
from rise_runtime.bus import Bus, Incoming
from rise_runtime.services import Served
from tests.servers import Server

CANCEL = messages.Cancel(job_id="job-1", attempt=1)


async def answer(question: messages.Cancel) -> messages.Cancel:
    if question.attempt > 1:
        raise errors.UnknownName("member", "lage", ["large"])
    return question


async def told(bus: Bus, verb: str) -> Any:
    return json.loads((await bus.request(f"$SRV.{verb}", timeout=10.0)).data)


async def served(bus: Bus) -> Served:
    return await services.serve(bus, "rise.service", messages.Cancel, answer)


async def test_a_service_is_found_by_anybody_by_its_name_and_by_itself(bus: Bus) -> None:
    announced = await services.announce(bus, "rise-test", "echoes", {"echo": await served(bus)})
    for verb in ("PING", "PING.rise-test", f"PING.rise-test.{announced.id}"):
        ping = await told(bus, verb)
        assert (ping["type"], ping["name"]) == ("io.nats.micro.v1.ping_response", "rise-test")
        assert ping["id"] == announced.id
        assert [part.isdecimal() for part in ping["version"].split(".")] == [True] * 3
    with pytest.raises(errors.NoResponder):
        await told(bus, "PING.rise-other")


async def test_it_says_what_it_answers_and_where(bus: Bus) -> None:
    await services.announce(bus, "rise-test", "echoes", {"echo": await served(bus)})
    info = await told(bus, "INFO.rise-test")
    assert (info["type"], info["description"]) == ("io.nats.micro.v1.info_response", "echoes")
    assert info["endpoints"] == [{"name": "echo", "subject": "rise.service", "queue_group": "serve", "metadata": {}}]


async def test_it_counts_what_it_answered_errors_too(bus: Bus) -> None:
    await services.announce(bus, "rise-test", "echoes", {"echo": await served(bus)})
    (before,) = (await told(bus, "STATS.rise-test"))["endpoints"]
    assert (before["num_requests"], before["num_errors"], before["average_processing_time"]) == (0, 0, 0)
    for _ in range(2):
        await services.ask(bus, "rise.service", CANCEL, messages.Cancel)
    with pytest.raises(errors.RemoteError):
        await services.ask(bus, "rise.service", CANCEL.model_copy(update={"attempt": 2}), messages.Cancel)
    stats = await told(bus, "STATS.rise-test")
    (endpoint,) = stats["endpoints"]
    assert (endpoint["num_requests"], endpoint["num_errors"]) == (3, 1)
    assert "did you mean 'large'" in endpoint["last_error"]
    assert endpoint["processing_time"] >= 3 * endpoint["average_processing_time"] > 0
    assert stats["started"].endswith("Z")


async def test_every_instance_answers_for_itself(bus: Bus) -> None:
    ids = {(await services.announce(bus, "rise-test", "echoes", {})).id for _ in range(2)}
    heard: set[str] = set()
    both = asyncio.Event()

    def hear(message: Incoming) -> None:
        heard.add(json.loads(message.data)["id"])
        if len(heard) == 2:
            both.set()

    inbox = bus.new_inbox()
    await bus.subscribe(inbox, hear)
    await bus.publish("$SRV.PING.rise-test", reply=inbox)
    await asyncio.wait_for(both.wait(), 60)
    assert heard == ids


async def test_what_has_stopped_is_found_no_more(bus: Bus) -> None:
    serving = await served(bus)
    announced = await services.announce(bus, "rise-test", "echoes", {"echo": serving})
    await announced.stop()
    await announced.stop()
    await serving.stop()
    await bus.barrier()
    with pytest.raises(errors.NoResponder):
        await told(bus, "PING.rise-test")
    with pytest.raises(errors.NoResponder):
        await services.ask(bus, "rise.service", CANCEL, messages.Cancel)


async def test_it_is_found_again_after_the_server_was_killed(nats_server: Server, bus: Bus) -> None:
    again = asyncio.Event()
    bus.on_reconnect(again.set)
    announced = await services.announce(bus, "rise-test", "echoes", {})
    nats_server.kill()
    nats_server.start()
    await asyncio.wait_for(again.wait(), 60)
    await bus.barrier()
    assert (await told(bus, "PING.rise-test"))["id"] == announced.id
