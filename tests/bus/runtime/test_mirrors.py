"""What was heard of a bucket, in place of a round trip for every look."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from rise_contracts import errors, subjects
from rise_runtime.buckets import Bucket, Entry
from rise_runtime.bus import Bus
from rise_runtime.families import Families
from rise_runtime.mirrors import Mirror
from rise_runtime.together import meanwhile
from tests.unit.scheduler.builders import family


@pytest.fixture
async def bucket(bus: Bus) -> Bucket:
    made = Bucket(bus, "test")
    await made.ensure()
    return made


@contextlib.asynccontextmanager
async def following(mirror: Mirror) -> AsyncIterator[None]:
    async with meanwhile(mirror.run()):
        yield


async def heard(mirror: Mirror, key: str, value: bytes) -> None:
    async with asyncio.timeout(60):
        while (entry := await mirror.get(key)) is None or entry.value != value:
            await asyncio.sleep(0.01)


class Unasked(Bucket):
    """One that is only watched: asked, it knows of nothing."""

    async def get(self, key: str, *, patience: float = 0.0) -> Entry | None:
        return None


async def test_what_was_there_and_what_changes_is_heard_of(bus: Bus, bucket: Bucket) -> None:
    mirror = Mirror(Unasked(bus, bucket.name))
    await bucket.put("a", b"1")
    async with following(mirror):
        await heard(mirror, "a", b"1")
        await bucket.put("a", b"2")
        await heard(mirror, "a", b"2")
        await bucket.remove("a")
        async with asyncio.timeout(60):
            while await mirror.get("a") is not None:
                await asyncio.sleep(0.01)


async def test_what_was_not_heard_of_is_asked_of_the_server(bucket: Bucket) -> None:
    revision = await bucket.put("a", b"1")
    mirror = Mirror(bucket)
    assert await mirror.get("a") == Entry("a", b"1", revision)
    assert await mirror.get("b") is None
    await bucket.remove("a")
    assert await mirror.get("a") is None


async def test_what_was_written_here_is_known_at_once(bucket: Bucket) -> None:
    mirror = Mirror(bucket)
    mirror.note(Entry("a", b"mine", 7))
    assert await mirror.get("a") == Entry("a", b"mine", 7)
    mirror.note(Entry("a", None, 8))
    assert await mirror.get("a") is None


async def test_other_keys_than_its_own_are_not_heard_of(bus: Bus, bucket: Bucket) -> None:
    mirror = Mirror(Unasked(bus, bucket.name), "mine.>")
    await bucket.put("other.a", b"1")
    await bucket.put("mine.a", b"1")
    async with following(mirror):
        await heard(mirror, "mine.a", b"1")
    assert await mirror.get("other.a") is None


async def test_a_family_that_is_withdrawn_is_not_known_any_more(bus: Bus) -> None:
    await Bucket(bus, subjects.KV_FAMILIES).ensure()
    known = Families(bus)
    await Families(bus).publish(family())
    async with meanwhile(known.run()):
        assert await known.get("rise-shapes") == family()
        await Families(bus).withdraw("rise-shapes")
        with pytest.raises(errors.Busy, match="no model family"):
            await asyncio.wait_for(while_known(known, "rise-shapes"), 60)


async def while_known(families: Families, name: str) -> None:
    """Ask for it again and again."""
    while True:
        await families.get(name)
        await asyncio.sleep(0.01)
