"""What a device may store: one that takes more loses it, and nobody else loses anything."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from rise_contracts import subjects
from rise_runtime import streams
from rise_runtime.bounds import most_chunks
from rise_runtime.bus import Bus
from rise_runtime.outcasts import Outcasts
from tests.bus.runtime import small
from tests.bus.security.days import Day, day
from tests.bus.security.matrix import DEVICE, EDGE, OPERATOR, OTHER
from tests.bus.security.people import People
from tests.servers import Server

LOOKING = replace(small.PATIENT, bounds_s=0.1, sweep_s=3600.0)
"""Nothing that goes here goes with the sweep."""
OWN, COMMON = subjects.lane("device", DEVICE.name), subjects.lane("device", None)
LARGE = 3 * 2**20


def chunk(lane: str, writer: str | None, number: int = 0) -> str:
    return subjects.blob(subjects.shelf(lane, writer), "job-1", "result", 1, "0123") + f".{number}"


async def stored(bus: Bus, who: str) -> int:
    return await streams.count(bus, subjects.STREAM_BLOBS, subjects.blobs_of_writer(who))


async def fill(bus: Bus, count: int) -> None:
    """Store `count` chunks in both lanes of the device, as fast as it goes."""
    for number in range(count):
        await bus.publish(chunk((OWN, COMMON)[number % 2], DEVICE.name, number), b"junk")
    await bus.barrier()


async def until_cut_off(today: Day) -> None:
    async with asyncio.timeout(30):
        while DEVICE.name not in await Outcasts(today.buses[OPERATOR]).now():
            await asyncio.sleep(0.01)


async def until_nothing_is_left(today: Day) -> None:
    own = (
        (subjects.STREAM_BLOBS, subjects.blobs_of_writer(DEVICE.name)),
        (subjects.STREAM_CHECKPOINTS, subjects.checkpoints_of_lane(OWN)),
        (subjects.STREAM_OFFERS, subjects.offers_of_worker("device", DEVICE.name)),
    )
    async with asyncio.timeout(30):
        while any([await streams.count(today.buses[OPERATOR], *each) for each in own]):
            await asyncio.sleep(0.01)


async def test_a_device_that_fills_the_store_loses_it_all_and_nobody_else_does(
    server: Server, people: People, tmp_path: Path
) -> None:
    async with day(server, people, tmp_path, EDGE, OTHER, settings=LOOKING) as today:
        operator = today.buses[OPERATOR]
        async with people.bus(today.url, DEVICE) as device:
            others = (chunk(COMMON, OTHER.name), chunk(subjects.lane("device", OTHER.name), OTHER.name))
            for subject in others:
                await streams.store(today.buses[OTHER], subject, b"a result")
            ours = (chunk(COMMON, None), chunk(OWN, None))
            for subject in ours:
                await streams.store(today.buses[EDGE], subject, b"a handoff")
            await fill(device, most_chunks(device) + 1)
            await until_cut_off(today)
            await until_nothing_is_left(today)
            await fill(device, 10)  # it has its key still
            await streams.store(device, subjects.checkpoint(OWN, "job-1", 1, 1), b"junk")
            await streams.store(device, subjects.offer("device", DEVICE.name, "job-1", "job-done"), b"junk")
            await until_nothing_is_left(today)
        assert (await today.made(7)).images == (small.expected(7),)
        for subject in (*others, *ours):
            assert await streams.last(operator, subjects.STREAM_BLOBS, subject) is not None
        assert await Outcasts(operator).now() == {DEVICE.name}


async def test_a_name_that_stands_for_many_reaches_nobody_elses(server: Server, people: People, tmp_path: Path) -> None:
    """A server stores what is sent under wildcards, and purges by them all that they stand for."""
    async with (
        day(server, people, tmp_path, EDGE, OTHER, settings=LOOKING) as today,
        people.bus(today.url, DEVICE) as device,
    ):
        await streams.store(today.buses[OTHER], chunk(COMMON, OTHER.name), b"a result")
        await streams.store(device, f"rise.blobs.{subjects.shelf(COMMON, DEVICE.name)}.>", b"junk")
        await until_cut_off(today)
        await until_nothing_is_left(today)
        assert await stored(today.buses[OPERATOR], OTHER.name) == 1


@pytest.mark.usefixtures("forbidden")
async def test_an_honest_device_is_never_cut_off(server: Server, people: People, tmp_path: Path) -> None:
    """Its handoffs, checkpoints and results are in chunks, and it is looked at all the while."""
    async with day(
        server, people, tmp_path, EDGE, DEVICE, size=LARGE, settings=replace(LOOKING, bounds_s=0.01)
    ) as today:
        made = await asyncio.gather(*(today.made(seed, "with a checkpoint") for seed in range(4)))
        assert [each.images for each in made] == [(small.expected(seed, LARGE),) for seed in range(4)]
        assert await Outcasts(today.buses[OPERATOR]).now() == frozenset()
