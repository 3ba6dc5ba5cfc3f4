"""Buckets: keys that are made once, replaced where unchanged, watched through the death of a server."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.chaos.tap import tapped
from rise_contracts import errors
from rise_runtime import client, streams
from rise_runtime.buckets import Bucket, Entry
from rise_runtime.bus import Bus, connect
from rise_runtime.streams import WrongRevision
from tests.servers import Server


@pytest.fixture
async def bucket(bus: Bus) -> Bucket:
    made = Bucket(bus, "test")
    await made.ensure()
    return made


async def test_a_key_is_created_once(bucket: Bucket) -> None:
    made = await asyncio.gather(*(bucket.create("a", str(n).encode()) for n in range(5)))
    assert sum(isinstance(revision, int) for revision in made) == 1
    await bucket.remove("a")
    assert await bucket.get("a") is None
    assert isinstance(await bucket.create("a", b"again"), int)


async def test_a_value_is_replaced_only_where_it_is_unchanged(bucket: Bucket) -> None:
    revision = await bucket.put("a", b"1")
    second = await bucket.update("a", b"2", revision)
    with pytest.raises(WrongRevision):
        await bucket.update("a", b"3", revision)
    assert await bucket.get("a") == Entry("a", b"2", second)


async def test_a_watcher_sees_what_is_there_then_none_then_what_changes(bucket: Bucket) -> None:
    await bucket.put("a", b"1")
    await bucket.put("b", b"2")
    seen: list[tuple[str, bytes | None] | None] = []
    async for entry in bucket.watch():
        seen.append(None if entry is None else (entry.key, entry.value))
        if entry is None:
            await bucket.put("a", b"3")
            await bucket.remove("b")
        if len(seen) == 5:
            break
    assert seen == [("a", b"1"), ("b", b"2"), None, ("a", b"3"), ("b", None)]


async def test_a_watcher_of_an_empty_bucket_is_told_so(bucket: Bucket) -> None:
    async for entry in bucket.watch():
        assert entry is None
        break
    assert await bucket.entries() == []


async def test_a_watcher_outlives_the_server(bucket: Bucket, nats_server: Server) -> None:
    await bucket.put("a", b"1")
    changes = bucket.watch()
    assert [await anext(changes), await anext(changes)][1] is None
    nats_server.kill()
    nats_server.start()
    _, entry = await asyncio.wait_for(asyncio.gather(bucket.put("a", b"2"), anext(changes)), 60)
    assert entry is not None
    assert entry.value == b"2"


async def test_a_watcher_outlives_a_server_that_lost_everything(bucket: Bucket, nats_server: Server) -> None:
    """Revisions begin at 1 again: who listened on after the last one would hear nothing for long."""
    for value in (b"1", b"2", b"3"):
        await bucket.put("a", value)
    changes = bucket.watch()
    assert [await anext(changes), await anext(changes)][1] is None
    nats_server.kill()
    nats_server.forget()
    nats_server.start()
    await bucket.ensure()
    _, entry = await asyncio.wait_for(asyncio.gather(bucket.put("b", b"new"), anext(changes)), 60)
    assert entry == Entry("b", b"new", 1)


async def test_a_watcher_is_told_nothing_twice_although_the_last_is_gone(
    bus: Bus, bucket: Bucket, nats_server: Server
) -> None:
    await bucket.put("a", b"1")
    await bucket.put("b", b"1")
    changes = bucket.watch()
    assert [await anext(changes) for _ in range(3)][2] is None
    await streams.purge(bus, f"KV_{bucket.name}", f"$KV.{bucket.name}.b")
    nats_server.kill()
    nats_server.start()
    _, entry = await asyncio.wait_for(asyncio.gather(bucket.put("c", b"2"), anext(changes)), 60)
    assert entry == Entry("c", b"2", 3)


async def test_a_bucket_that_is_not_there_is_told(bus: Bus) -> None:
    with pytest.raises(errors.NotFound, match="is the platform up"):
        await client.get_job(bus, "job-1")


async def test_what_may_be_asked_again_is_answered_as_soon_as_the_server_is_back(
    bus: Bus, bucket: Bucket, nats_server: Server
) -> None:
    await bucket.put("a", b"1")
    async with tapped(nats_server.url) as tap, connect(tap.url, nats_server.token) as own:
        hold = tap.hold(lambda said: said.subject.startswith("$JS.API.DIRECT.GET."))
        asking = asyncio.create_task(Bucket(own, bucket.name).get("a", patience=60.0))
        await asyncio.wait_for(hold.met.wait(), 20)
        began = asyncio.get_running_loop().time()
        hold.drop()
        assert await asyncio.wait_for(asking, 20) == Entry("a", b"1", 1)
        # Less than a try of this question takes (5 s): it was not waited out.
        assert asyncio.get_running_loop().time() - began < 4.0
