"""Who gets which task, and that a task which was only passed over is not taken for one that kills its workers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rise_contracts import messages, subjects
from rise_contracts.configuration import Configuration
from rise_contracts.records import JobState
from rise_runtime import client, layout, streams
from rise_runtime.bus import Bus
from tests.bus.runtime import small

ANY = Configuration(arm="large:4", stages=(small.stage(0, "device", last=True),))
BOUND = Configuration(arm="large:4", stages=(small.stage(0, "device", last=True, worker="device-1"),))


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


async def test_a_bound_task_waits_behind_no_crowd(bus: Bus, tmp_path: Path) -> None:
    """While both of a worker's queues are full, each task is delivered once, and the bound one is done first."""
    (tmp_path / "hold-0").touch()
    async with small.driver(bus), small.worker(bus, "device-1", tmp_path):
        async with small.scheduler(bus, ANY):
            crowd = [await client.submit(bus, small.spec(seed=seed)) for seed in range(3 * small.QUICK.max_deliver)]
            await small.until((tmp_path / "held-0-device-1").exists)
            await _queued(bus, len(crowd))
        async with small.scheduler(bus, BOUND):
            bound = await client.submit(bus, small.spec(seed=99))
            await _queued(bus, len(crowd) + 1)
        (tmp_path / "hold-0").unlink()
        endings = [await client.wait(bus, job.job_id) for job in (bound, *crowd)]
        records = [await small.record_is(bus, job.job_id, JobState.COMPLETE) for job in (bound, *crowd)]
    assert all(isinstance(ending, messages.JobDone) for ending in endings)
    assert {record.stages[0].delivery for record in records} == {1}
    started = sorted(record.started_at or 0.0 for record in records)
    assert records[0].started_at in started[:2]


async def test_somebodys_own_device_takes_what_is_sent_to_it_and_nothing_else(bus: Bus, tmp_path: Path) -> None:
    hers = Configuration(arm="large:4", stages=(small.stage(0, "device", last=True, worker="private-1"),))
    async with small.driver(bus), small.worker(bus, "private-1", tmp_path):
        async with small.scheduler(bus, ANY):
            other = await client.submit(bus, small.spec(seed=1))
            await _queued(bus, 1)
        async with small.scheduler(bus, hers):
            own = await client.submit(bus, small.spec(seed=2))
            assert isinstance(await client.wait(bus, own.job_id), messages.JobDone)
        assert (await client.get_job(bus, other.job_id)).state is JobState.SCHEDULED
        async with small.worker(bus, "device-1", tmp_path):
            done = await client.wait(bus, other.job_id)
    assert isinstance(done, messages.JobDone)
    assert done.worker == "device-1"


async def test_a_message_of_no_job_is_thrown_away_and_work_goes_on(bus: Bus, tmp_path: Path) -> None:
    async with small.scheduler(bus, ANY), small.driver(bus), small.worker(bus, "device-1", tmp_path):
        for subject in ("rise.work.device.any.job-1", "rise.work.device.any.JOB.1", "rise.work.device.any.job-1.x"):
            await streams.store(bus, subject, b"nonsense")
        job = await client.submit(bus, small.spec())
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
    assert await streams.count(bus, subjects.work_stream("device"), subjects.work_stream_subjects("device")) == 0


async def _queued(bus: Bus, tasks: int) -> None:
    """Wait until so many tasks are in the queues of the pool."""
    stream, every = subjects.work_stream("device"), subjects.work_stream_subjects("device")
    async with asyncio.timeout(60):
        while await streams.count(bus, stream, every) < tasks:
            await asyncio.sleep(0.01)
