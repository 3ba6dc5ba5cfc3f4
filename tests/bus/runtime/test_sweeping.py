"""Bytes that arrive when their job is over are found, and those that are needed are left alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from rise_contracts import messages, subjects
from rise_runtime import blobs, client, layout, streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.fences import Fences
from tests.bus.runtime import small

SWEEPING = replace(small.QUICK_DRIVER, sweep_s=0.1)
LARGE = 3 * 2**20
LANE = subjects.lane("device", None)


async def until_gone(bus: Bus, stream: str, subject: str) -> None:
    async with asyncio.timeout(30):
        while await streams.count(bus, stream, subject):
            await asyncio.sleep(0.05)


async def test_what_comes_when_its_job_is_over_goes_and_the_picture_stays(bus: Bus, tmp_path: Path) -> None:
    async with small.relay(bus, tmp_path, size=LARGE, settings=SWEEPING):
        job = await client.submit(bus, small.spec(seed=3))
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        late = subjects.checkpoint(LANE, job.job_id, 1, 1)
        await streams.store(bus, late, b"late")
        chunks = [
            await blobs.send(bus, subjects.shelf(LANE, None), job.job_id, use, 1, b"x" * LARGE)
            for use in ("handoff", "result")
        ]
        await until_gone(bus, subjects.STREAM_CHECKPOINTS, late)
        for ref, _ in chunks:
            assert ref.subject is not None
            await until_gone(bus, subjects.STREAM_BLOBS, f"{ref.subject}.*")
        assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(3, LARGE),)
        await client.remove(bus, job.job_id)
        await streams.store(bus, late, b"later")
        await until_gone(bus, subjects.STREAM_CHECKPOINTS, late)


async def test_what_a_job_under_way_has_kept_is_left_alone(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0-after-2").touch()
    async with small.scheduler(bus), small.driver(bus, SWEEPING), small.worker(bus, "edge-1", tmp_path):
        job = await client.submit(bus, small.spec("checkpoint"))
        await small.until((tmp_path / f"held-{job.job_id}").exists)
        own = subjects.checkpoints_of_job(job.job_id)
        async with asyncio.timeout(30):
            while not await streams.count(bus, subjects.STREAM_CHECKPOINTS, own):
                await asyncio.sleep(0.05)
        # What is stored under wildcards is not taken for all that they stand for.
        await streams.store(bus, subjects.checkpoints_of_lane(subjects.lane("edge", None)), b"x")
        # One that is of no use is gone: so a sweep has gone over both.
        other = subjects.checkpoint(LANE, "job-gone", 1, 0)
        await streams.store(bus, other, b"x")
        await until_gone(bus, subjects.STREAM_CHECKPOINTS, other)
        assert await streams.count(bus, subjects.STREAM_CHECKPOINTS, own) == 1
        (tmp_path / "hold-0-after-2").unlink()


async def test_a_fence_without_a_job_goes_and_one_of_a_job_stays(bus: Bus, tmp_path: Path) -> None:
    """A driver that was frozen as it admitted an attempt may do so when the job was removed meanwhile."""
    async with small.relay(bus, tmp_path, settings=SWEEPING):
        stays, goes = [await client.submit(bus, small.spec(seed=seed)) for seed in (3, 4)]
        for job in (stays, goes):
            assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        await client.remove(bus, goes.job_id)
        await Fences(bus).admit(goes.job_id, 2)
        await Fences(bus).admit("job-never", 1)
        bucket = Bucket(bus, subjects.KV_FENCES)
        async with asyncio.timeout(30):
            while {entry.key for entry in await bucket.entries()} != {stays.job_id}:
                await asyncio.sleep(0.05)


async def test_a_fence_of_a_job_that_came_again_meanwhile_stays(bus: Bus) -> None:
    await layout.ensure(bus)
    fences, bucket = Fences(bus), Bucket(bus, subjects.KV_FENCES)
    await fences.admit("job-1", 1)

    async def comes_again(job_id: str) -> bool:
        await fences.admit(job_id, 2)
        return False

    await fences.sweep(comes_again, set())
    assert await fences.is_current("job-1", 2)
    assert await bucket.is_there("job-1")
