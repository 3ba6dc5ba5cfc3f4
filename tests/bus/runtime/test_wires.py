"""The bus itself against a real server: connecting, requests, buckets, consumers, chunks."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.chaos.tap import tapped
from rise_contracts import codec, errors, messages, subjects
from rise_runtime import blobs, client, layout, services, streams, tasks
from rise_runtime.bus import Bus, connect, open_bus
from rise_runtime.pulls import Consumer
from tests.bus.runtime import small
from tests.servers import Server

CANCEL = messages.Cancel(job_id="job-1", attempt=1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_a_server_that_is_away_is_told_in_one_line() -> None:
    with pytest.raises(errors.BusUnavailable, match=r"nobody answers .*; start it") as caught:
        await open_bus(f"nats://127.0.0.1:{free_port()}")
    assert caught.value.exit_code == 7
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("other", ["another", ""], ids=["another key", "no key"])
async def test_a_store_of_another_key_is_not_told_as_a_full_disk_alone(tmp_path: Path, other: str) -> None:
    server = Server(tmp_path)
    server.key = "one"
    server.start()
    async with connect(server.url, server.token, patience=10.0) as bus:
        await streams.ensure(bus, "WORK", ("work.>",))
    server.kill()
    server.key = other
    server.start()
    try:
        async with connect(server.url, server.token, patience=10.0) as bus:
            with pytest.raises(errors.DiskFull, match=r"STREAM\.CREATE\.WORK: .* written with another key, stop it"):
                await streams.ensure(bus, "WORK", ("work.>",))
    finally:
        server.stop()


async def test_secrets_in_an_address_are_not_told() -> None:
    with pytest.raises(errors.BusUnavailable) as caught:
        await open_bus(f"nats://me:secret@127.0.0.1:{free_port()}")
    assert "secret" not in str(caught.value)


async def test_a_wrong_token_is_told_and_not_tried_again(nats_server: Server) -> None:
    with pytest.raises(errors.BusUnavailable, match="does not accept this token"):
        await asyncio.wait_for(open_bus(nats_server.url, "wrong", patience=3600), 60)


async def test_a_server_without_jetstream_is_unsuitable(tmp_path: Path) -> None:
    server = Server(tmp_path, jetstream=False)
    server.start()
    try:
        with pytest.raises(errors.BusUnsuitable, match="start it with -js"):
            await open_bus(server.url, server.token, patience=30)
    finally:
        server.stop()


@pytest.fixture
async def old_server() -> AsyncIterator[str]:
    """What a server of years ago says when one connects: just enough of the protocol to be asked for its version."""
    info = {"server_id": "old", "version": "2.9.25", "max_payload": 1048576, "headers": True, "proto": 1}

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"INFO {json.dumps(info)}\r\n".encode())
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        yield f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_server_that_is_too_old_is_unsuitable(old_server: str) -> None:
    with pytest.raises(errors.BusUnsuitable, match=r"wanted server 2\.10 or newer, got 2\.9\.25"):
        await open_bus(old_server)


async def test_a_message_that_is_too_large_is_refused_before_it_is_sent(bus: Bus) -> None:
    data = bytes(bus.max_payload)
    with pytest.raises(errors.PayloadTooLarge, match="at most") as caught:
        await bus.publish("rise.test", data)
    assert caught.value.nbytes == len(data)
    with pytest.raises(errors.PayloadTooLarge):
        await bus.request("rise.test", data)


async def test_a_request_without_a_listener_fails_at_once(bus: Bus) -> None:
    with pytest.raises(errors.NoResponder, match=r"listens on rise\.nobody"):
        await services.ask(bus, "rise.nobody", CANCEL, messages.Cancel, timeout=60)


async def test_a_request_without_an_answer_ends_in_time(bus: Bus) -> None:
    await bus.subscribe("rise.deaf", lambda _: None)
    with pytest.raises(errors.Waited, match=r"within 0\.1 s"):
        await services.ask(bus, "rise.deaf", CANCEL, messages.Cancel, timeout=0.1)


async def test_a_question_does_not_outlive_its_connection(nats_server: Server) -> None:
    """Its answer would have come on that: who waits on loses seconds after every restart of the server."""
    async with tapped(nats_server.url) as tap, connect(tap.url, nats_server.token) as own:
        hold = tap.hold(lambda said: said.subject == "$JS.API.INFO")
        asking = asyncio.create_task(own.request("$JS.API.INFO", timeout=60.0))
        await asyncio.wait_for(hold.met.wait(), 20)
        hold.drop()
        with pytest.raises(errors.BusUnavailable, match="lost before"):
            await asyncio.wait_for(asking, 20)


async def test_errors_of_a_service_travel_back(bus: Bus) -> None:
    async def answer(question: messages.Cancel) -> messages.Cancel:
        if question.attempt == 1:
            raise errors.UnknownName("member", "lage", ["large"])
        if question.attempt == 2:
            raise ZeroDivisionError("a bug")
        return question

    await services.serve(bus, "rise.service", messages.Cancel, answer)
    with pytest.raises(errors.RemoteError, match="did you mean 'large'") as caught:
        await services.ask(bus, "rise.service", CANCEL, messages.Cancel)
    assert caught.value.reason == "UnknownName"
    with pytest.raises(errors.RemoteError, match="ZeroDivisionError: a bug"):
        await services.ask(bus, "rise.service", CANCEL.model_copy(update={"attempt": 2}), messages.Cancel)
    fine = CANCEL.model_copy(update={"attempt": 3})
    assert await services.ask(bus, "rise.service", fine, messages.Cancel) == fine
    with pytest.raises(errors.RemoteError, match="a valid Cancel"):
        codec.decode_reply(messages.Cancel, (await bus.request("rise.service", b"nonsense")).data)


async def test_a_slow_answer_holds_up_no_other(bus: Bus) -> None:
    first_came = asyncio.Event()

    async def answer(question: messages.Cancel) -> messages.Cancel:
        if question.attempt == 1:
            await first_came.wait()
        first_came.set()
        return question

    await services.serve(bus, "rise.service", messages.Cancel, answer)
    slow = asyncio.create_task(services.ask(bus, "rise.service", CANCEL, messages.Cancel, timeout=60))
    second = CANCEL.model_copy(update={"attempt": 2})
    assert await services.ask(bus, "rise.service", second, messages.Cancel, timeout=60) == second
    assert await slow == CANCEL


async def test_a_failing_subscriber_goes_on(bus: Bus) -> None:
    seen: list[bytes] = []
    done = asyncio.Event()

    def on_message(message: object) -> None:
        seen.append(b"x")
        if len(seen) == 2:
            done.set()
        raise ValueError("a bug")

    await bus.subscribe("rise.test", on_message)
    await bus.barrier()
    await bus.publish("rise.test")
    await bus.publish("rise.test")
    await asyncio.wait_for(done.wait(), 60)


async def test_a_message_id_stores_once(bus: Bus) -> None:
    await layout.ensure(bus)
    first = await streams.store(bus, "rise.outcomes", b"x", msg_id="one")
    again = await streams.store(bus, "rise.outcomes", b"x", msg_id="one")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert first.sequence == again.sequence


async def test_a_full_queue_says_so(bus: Bus) -> None:
    await streams.ensure(bus, "FULL", ("full.>",), extra={"max_msgs": 1})
    await streams.store(bus, "full.a", b"x")
    with pytest.raises(errors.Busy, match="the queue is full"):
        await streams.store(bus, "full.b", b"x")


async def test_all_subjects_are_listed_however_many_there_are(bus: Bus) -> None:
    """The server gives 100,000 at a time."""
    await streams.ensure(bus, "MANY", ("many.*",))
    for number in range(100_001):
        await bus.publish(f"many.{number}")
    await streams.store(bus, "many.last", b"")
    assert await streams.count(bus, "MANY", "many.*") == 100_002


async def test_no_message_of_chunks_is_larger_than_a_chunk(bus: Bus) -> None:
    await layout.ensure(bus)
    most = subjects.CHUNK + subjects.CHUNK_OVERHEAD
    with pytest.raises(streams.JetStreamError, match="size exceeds"):
        await streams.store(bus, "rise.blobs.device.any.device-1.x", bytes(most + 1))


async def test_storing_without_a_stream_gives_up_in_time(bus: Bus) -> None:
    with pytest.raises(errors.BusUnavailable, match="was not stored"):
        await streams.store(bus, "nowhere.a", b"x", patience=0.2)


async def consumer(bus: Bus, ack_wait_s: float = 5.0) -> Consumer:
    await layout.ensure_pool(bus, "edge")
    filters = (subjects.work_filter("edge", None),)
    made = Consumer(bus, subjects.work_stream("edge"), filters, durable="any", ack_wait_s=ack_wait_s)
    await made.start()
    return made


async def store_work(bus: Bus, number: int) -> None:
    await streams.store(bus, subjects.work("edge", None, f"job-{number}", 1), str(number).encode())


async def test_what_is_there_now_is_given_at_once_and_counts_as_one_delivery(bus: Bus) -> None:
    pull = await consumer(bus)
    assert await pull.waiting() is None
    for number in range(2):
        await store_work(bus, number)
    for number in range(2):
        delivery = await pull.waiting()
        assert delivery is not None
        assert (delivery.data, delivery.deliveries) == (str(number).encode(), 1)
        await delivery.ack()
    assert await pull.waiting() is None


async def test_a_task_that_is_given_back_comes_again(bus: Bus) -> None:
    pull = await consumer(bus)
    await store_work(bus, 1)
    first = await pull.next(60)
    assert first is not None
    await first.nak()
    again = await pull.next(60)
    assert again is not None
    assert (again.data, again.deliveries) == (b"1", 2)
    await again.ack()
    assert await streams.count(bus, subjects.work_stream("edge"), "rise.work.>") == 0


async def test_a_task_nobody_acknowledges_comes_again(bus: Bus) -> None:
    pull = await consumer(bus, ack_wait_s=0.5)
    await store_work(bus, 1)
    first = await pull.next(60)
    again = await pull.next(60)
    assert first is not None
    assert again is not None
    assert again.deliveries == 2


async def test_a_paused_consumer_leaves_tasks_to_others(bus: Bus) -> None:
    one, other = await consumer(bus), await consumer(bus)
    assert await one.next(0.05) is None
    await one.pause()
    await bus.barrier()
    await store_work(bus, 1)
    delivery = await other.next(60)
    assert delivery is not None
    assert delivery.deliveries == 1


async def test_a_cancelled_wait_loses_no_task(bus: Bus) -> None:
    pull = await consumer(bus, ack_wait_s=60)
    for number in range(20):
        waiting = asyncio.create_task(pull.next())
        await asyncio.sleep(0)
        await store_work(bus, number)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        delivery = await pull.next(60) if waiting.cancelled() else waiting.result()
        assert delivery is not None
        assert (delivery.data, delivery.deliveries) == (str(number).encode(), 1)
        await delivery.ack()


@pytest.mark.parametrize("nbytes", [1, subjects.INLINE_LIMIT, subjects.INLINE_LIMIT + 1, 5 * 1024 * 1024 + 7])
async def test_bytes_arrive_as_they_were_sent(bus: Bus, nbytes: int) -> None:
    await layout.ensure(bus)
    payload = os.urandom(nbytes)
    ref, behind = await blobs.send(bus, "edge.any.RISE", "job-1", "handoff", 1, payload)
    assert ref.kind == ("inline" if nbytes <= subjects.INLINE_LIMIT else "chunks")
    assert await blobs.receive(bus, ref, behind) == payload


async def test_damaged_or_missing_chunks_are_told(bus: Bus) -> None:
    await layout.ensure(bus)
    ref, _ = await blobs.send(bus, "edge.any.RISE", "job-1", "handoff", 1, os.urandom(2 * 1024 * 1024))
    other = ref.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(errors.HandoffRefused) as caught:
        await blobs.receive(bus, other, b"")
    assert caught.value.refusal is errors.Refusal.DIGEST
    assert ref.subject is not None
    message = await streams.last(bus, subjects.STREAM_BLOBS, f"{ref.subject}.2")
    assert message is not None
    await streams.delete(bus, subjects.STREAM_BLOBS, message.sequence)
    with pytest.raises(errors.NotFound, match=r"\.2.*this chunk of it is not there"):
        await blobs.receive(bus, ref, b"", timeout=0.3)


async def test_more_than_may_be_carried_is_refused(bus: Bus) -> None:
    with pytest.raises(errors.PayloadTooLarge, match="handoff: wanted at most 1000 bytes, got 1001"):
        await blobs.send(bus, "edge.any.RISE", "job-1", "handoff", 1, bytes(1001), limit=1000)


async def test_a_server_with_a_small_limit_gets_smaller_chunks(tmp_path: Path) -> None:
    server = Server(tmp_path, max_payload=64 * 1024)
    server.start()
    try:
        async with connect(server.url, server.token, patience=30) as bus:
            await layout.ensure(bus)
            await layout.ensure_pool(bus, "edge")
            payload = os.urandom(300_000)
            job = await client.submit(bus, small.spec())
            task = messages.StageTask(
                job_id=job.job_id, attempt=1, stage_index=0, request=job.request, configuration=small.RELAY
            )
            await tasks.send(bus, task, payload)
            pull = await consumer(bus)
            delivery = await pull.next(60)
            assert delivery is not None
            got, behind = tasks.read(delivery.data)
            assert await tasks.payload(bus, got, behind) == payload
            await pull.stop()
    finally:
        server.stop()


async def test_two_tasks_of_one_stage_are_one(bus: Bus) -> None:
    await layout.ensure(bus)
    await layout.ensure_pool(bus, "edge")
    job = await client.submit(bus, small.spec())
    task = messages.StageTask(
        job_id=job.job_id, attempt=1, stage_index=0, request=job.request, configuration=small.RELAY
    )
    stored = [await tasks.send(bus, task) for _ in range(2)]
    assert [one.duplicate for one in stored] == [False, True]
