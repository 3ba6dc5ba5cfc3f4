"""A job through two workers, a driver and a scheduler, over a real nats-server."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from pathlib import Path

import pytest

from rise_contracts import errors, messages, subjects
from rise_contracts.configuration import Configuration
from rise_contracts.records import JobState, Waiting
from rise_runtime import client, layout, streams
from rise_runtime.bus import Bus
from rise_runtime.jobs import Jobs
from tests.bus.runtime import small


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


async def test_a_job_crosses_two_workers_and_ends_in_one_picture(bus: Bus, tmp_path: Path) -> None:
    async with (
        small.scheduler(bus) as asked,
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
        small.worker(bus, "device-1", tmp_path),
    ):
        job = await client.submit(bus, small.spec(seed=7))
        events = [event async for event, _ in client.watch(bus, job.job_id)]
        result = await client.fetch_result(bus, job.job_id)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
        (outcome,) = await small.outcomes(bus, 1)

    assert result.images == (small.expected(7),)
    assert result.done.digest == hashlib.sha256(small.expected(7)).hexdigest()
    kinds = [event.kind for event in events]
    assert kinds[-1] == "job-done"
    assert [kind for kind in kinds if kind in ("stage-started", "handoff-sent")] == [
        "stage-started",
        "handoff-sent",
        "stage-started",
    ]
    assert kinds.count("stage-progress") == 2 * small.STEPS
    assert record.result is not None
    assert [status.worker for status in record.stages] == ["edge-1", "device-1"]
    assert record.started_at is not None and record.waiting_reason is None
    assert len(asked) == 1 and outcome.decision_id.startswith(job.job_id)
    assert outcome.failed is False and outcome.edge_s > 0 and outcome.latency_s >= outcome.wait_s
    assert outcome.bytes_handed == small.LATENT


async def test_nothing_is_left_in_the_queues(bus: Bus, tmp_path: Path) -> None:
    async with small.relay(bus, tmp_path):
        jobs = [await client.submit(bus, small.spec(seed=seed)) for seed in range(5)]
        for job in jobs:
            await small.record_is(bus, job.job_id, JobState.COMPLETE)
    for pool in ("edge", "device"):
        assert await streams.count(bus, subjects.work_stream(pool), subjects.work_stream_subjects(pool)) == 0
    assert await client.list_workers(bus) == ()
    assert [record.job_id for record in await client.list_jobs(bus)] == [job.job_id for job in jobs]


async def test_a_stage_bound_to_one_worker_goes_to_it(bus: Bus, tmp_path: Path) -> None:
    bound = Configuration(
        arm=small.RELAY.arm,
        stages=(small.stage(0, "edge", last=False), small.stage(1, "device", last=True, worker="device-2")),
    )
    async with (
        small.scheduler(bus, bound),
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
        small.worker(bus, "device-1", tmp_path),
        small.worker(bus, "device-2", tmp_path),
    ):
        for seed in range(3):
            job = await client.submit(bus, small.spec(seed=seed))
            ending = await client.wait(bus, job.job_id)
            assert isinstance(ending, messages.JobDone)
            assert ending.worker == "device-2"


async def test_a_large_latent_travels_in_chunks(bus: Bus, tmp_path: Path) -> None:
    size = 3 * 1024 * 1024
    async with small.relay(bus, tmp_path, size=size):
        job = await client.submit(bus, small.spec(seed=3))
        ending = await client.wait(bus, job.job_id)
        result = await client.fetch_result(bus, job.job_id)
        await small.record_is(bus, job.job_id, JobState.COMPLETE)
    assert isinstance(ending, messages.JobDone)
    assert ending.payload.kind == "chunks"
    assert result.images == (small.expected(3, size),)
    assert await streams.count(bus, subjects.STREAM_BLOBS, subjects.blobs_of_job(job.job_id, "handoff")) == 0


async def test_a_job_waits_for_a_scheduler_and_says_so(bus: Bus, tmp_path: Path) -> None:
    async with (
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
        small.worker(bus, "device-1", tmp_path),
    ):
        job = await client.submit(bus, small.spec(seed=1))
        async for record in client.watch_job(bus, job.job_id):
            if record.waiting_reason is Waiting.SCHEDULER_AWAY:
                assert "no scheduler answers" in record.waiting_message
                break
        async with small.scheduler(bus):
            await small.record_is(bus, job.job_id, JobState.COMPLETE)


async def test_a_job_that_cannot_start_in_time_fails_with_what_it_waited_for(bus: Bus) -> None:
    async with small.driver(bus):
        job = await client.submit(bus, small.spec(start_deadline_seconds=0.5))
        ending = await client.wait(bus, job.job_id)
    assert isinstance(ending, messages.JobFailed)
    assert ending.reason == "StartDeadlineExceeded"
    assert "SchedulerAway" in ending.message


async def test_a_job_that_takes_too_long_is_stopped(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "edge-1", tmp_path):
        job = await client.submit(bus, small.spec(active_deadline_seconds=0.5))
        ending = await client.wait(bus, job.job_id)
        assert isinstance(ending, messages.JobFailed)
        assert ending.reason == "ActiveDeadlineExceeded"
        # The slot is free again: the worker takes the next job although the hold is still there.
        other = await client.submit(bus, small.spec())
        await small.record_is(bus, other.job_id, JobState.RUNNING)
        await client.cancel(bus, other.job_id)


async def test_a_cancelled_job_stops_and_frees_the_worker(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0").touch()
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec(seed=2))
        await small.until((tmp_path / "held-0-edge-1").exists)
        record = await client.cancel(bus, job.job_id)
        assert record.state is JobState.CANCELLED
        assert isinstance(await client.wait(bus, job.job_id), messages.JobCancelled)
        with pytest.raises(errors.Cancelled):
            await client.fetch_result(bus, job.job_id)
        (tmp_path / "hold-0").unlink()
        other = await client.submit(bus, small.spec(seed=3))
        assert isinstance(await client.wait(bus, other.job_id), messages.JobDone)
        assert (await client.cancel(bus, other.job_id)).state is JobState.COMPLETE


async def test_one_key_is_one_job(bus: Bus) -> None:
    spec = small.spec(idempotency_key="order-1")
    first, second = await asyncio.gather(client.submit(bus, spec), client.submit(bus, spec))
    assert first == second
    with pytest.raises(errors.IdempotencyConflict, match="use another key"):
        await client.submit(bus, small.spec("a blue square", idempotency_key="order-1"))
    assert len(await client.list_jobs(bus)) == 1


async def test_a_suspended_job_runs_when_it_is_resumed(bus: Bus, tmp_path: Path) -> None:
    async with (
        small.scheduler(bus) as asked,
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
        small.worker(bus, "device-1", tmp_path),
    ):
        job = await client.submit(bus, small.spec(suspend=True))
        await small.record_is(bus, job.job_id, JobState.SUSPENDED)
        assert asked == []
        await client.resume(bus, job.job_id)
        await small.record_is(bus, job.job_id, JobState.COMPLETE)


async def test_one_key_is_one_job_under_any_name_and_after_it_was_resumed(bus: Bus) -> None:
    spec = small.spec(idempotency_key="order-1", suspend=True)
    job = await client.submit(bus, spec, name="first")
    await client.resume(bus, job.job_id)
    again = await client.submit(bus, spec, name="second")
    assert again.job_id == job.job_id
    assert again.request.spec.suspend is False


async def test_the_record_of_a_job_that_waits_is_not_forgotten(bus: Bus) -> None:
    """The bucket lets go of what was not written for days, so what is not over is written again."""
    keeping = dataclasses.replace(small.QUICK_DRIVER, keep_s=0.01, verify_s=0.05)
    async with small.driver(bus, keeping):
        job = await client.submit(bus, small.spec(suspend=True))
        suspended = await small.record_is(bus, job.job_id, JobState.SUSPENDED)
        revisions: set[int] = set()
        async with asyncio.timeout(60):
            async for _, held in Jobs(bus).watch(job.job_id):
                assert held is not None
                if held.record == suspended:
                    revisions.add(held.revision)
                if len(revisions) == 3:
                    break


async def test_a_finished_job_goes_after_its_time(bus: Bus, tmp_path: Path) -> None:
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec(ttl_seconds_after_finished=0.2))
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        async with asyncio.timeout(30):
            async for _ in client.watch_job(bus, job.job_id):
                pass
        await small.until_gone(bus, job.job_id)
    with pytest.raises(errors.NotFound):
        await client.get_job(bus, job.job_id)
