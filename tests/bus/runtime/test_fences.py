"""What workers may know of a job, and that it never goes back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rise_contracts import messages, subjects
from rise_contracts.records import JobState
from rise_runtime import client, layout
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.fences import Fences
from tests.bus.runtime import small


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


async def current(bus: Bus, *attempts: int) -> list[bool]:
    return [await Fences(bus).is_current("job-1", attempt) for attempt in attempts]


async def test_nothing_is_wanted_of_a_job_that_nobody_admitted(bus: Bus) -> None:
    assert await current(bus, 1) == [False]


async def test_one_attempt_is_wanted_at_a_time(bus: Bus) -> None:
    fences = Fences(bus)
    await fences.admit("job-1", 1)
    assert await current(bus, 1, 2) == [True, False]
    await fences.admit("job-1", 3)
    assert await current(bus, 1, 2, 3) == [False, False, True]


async def test_a_fence_does_not_go_back(bus: Bus) -> None:
    """A driver that was frozen wakes up, and admits what it was about to."""
    fences = Fences(bus)
    await fences.admit("job-1", 3)
    await fences.admit("job-1", 2)
    assert await current(bus, 2, 3) == [False, True]
    await fences.close("job-1", 3)
    await fences.admit("job-1", 4)
    assert await current(bus, 3, 4) == [False, False]


async def test_closing_a_removed_job_leaves_nothing(bus: Bus) -> None:
    fences = Fences(bus)
    await fences.admit("job-1", 1)
    await fences.remove("job-1")
    await fences.close("job-1", 1)
    assert await Bucket(bus, subjects.KV_FENCES).entries() == []
    await fences.admit("job-1", 1)  # the same id again, after its removal
    assert await current(bus, 1) == [True]


async def test_many_at_once_leave_the_farthest(bus: Bus) -> None:
    fences = Fences(bus)
    await asyncio.gather(*(fences.admit("job-1", attempt) for attempt in (2, 5, 1, 4, 3)))
    assert await current(bus, 1, 2, 3, 4, 5) == [False, False, False, False, True]


@pytest.mark.parametrize("limit", [0, 3])
async def test_a_record_follows_a_fence_whose_driver_died_before_it_wrote(limit: int, bus: Bus, tmp_path: Path) -> None:
    """The next attempt was admitted and the record not written: nobody would work for the attempt that it has."""
    async with small.scheduler(bus):
        async with small.driver(bus):
            job = await client.submit(bus, small.spec(seed=5, backoff_limit=limit))
            await small.record_is(bus, job.job_id, JobState.SCHEDULED)
        await Fences(bus).admit(job.job_id, 2)
        async with small.worker(bus, "edge-1", tmp_path), small.worker(bus, "device-1", tmp_path), small.driver(bus):
            done = await client.wait(bus, job.job_id)
            record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
    assert isinstance(done, messages.JobDone)
    assert (done.attempt, record.attempt, record.failures) == (2, 2, ())
    assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(5),)


async def test_a_fence_says_nothing_of_the_job_and_goes_with_it(bus: Bus, tmp_path: Path) -> None:
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec("a very private prompt", seed=3))
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        await small.record_is(bus, job.job_id, JobState.COMPLETE)
    bucket = Bucket(bus, subjects.KV_FENCES)
    entries = await bucket.entries()
    assert [entry.key for entry in entries] == [job.job_id]
    assert entries[0].value == b'{"version":1,"attempt":1,"over":true}'
    await client.remove(bus, job.job_id)
    assert await bucket.entries() == []
