"""The records of jobs, watched: what is there, the word that this was all, then what changes."""

from __future__ import annotations

import asyncio

import pytest

from rise_contracts import subjects
from rise_runtime import client, layout
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.jobs import Jobs
from tests.bus.runtime import small


@pytest.mark.parametrize("count", [0, 3])
async def test_a_watcher_has_all_that_was_there_when_it_is_told_so(bus: Bus, count: int) -> None:
    await layout.ensure(bus)
    there = {(await client.submit(bus, small.spec(seed=seed))).job_id for seed in range(count)}
    await Bucket(bus, subjects.KV_JOBS).put("unreadable", b"{")
    word: asyncio.Future[set[str]] = asyncio.get_running_loop().create_future()
    seen: set[str] = set()
    watched = Jobs(bus).watch(caught_up=lambda: word.set_result(set(seen)))
    async with asyncio.timeout(30):
        for _ in range(count):
            seen.add((await anext(watched))[0])
        later = asyncio.ensure_future(anext(watched))
        assert await word == there
        added = (await client.submit(bus, small.spec(seed=9))).job_id
        assert (await later)[0] == added
