"""A job at work that is put aside and goes on, over a real nats-server: the picture is that of one left in peace."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from pathlib import Path

import pytest

from benchmarks.chaos.tap import tapped
from rise_contracts import messages, subjects
from rise_contracts.records import JobRecord, JobState
from rise_runtime import client, layout, streams
from rise_runtime.bus import Bus, connect
from rise_runtime.fences import Fences
from rise_runtime.jobs import Jobs
from tests.bus.runtime import small
from tests.servers import Server


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


async def suspend(bus: Bus, job_id: str) -> JobRecord:
    """Have a job put aside, as the operator does when its RelayJob says so; its record once it is."""

    def change(record: JobRecord) -> JobRecord:
        spec = record.request.spec.model_copy(update={"suspend": True})
        return record.model_copy(update={"request": record.request.model_copy(update={"spec": spec})})

    assert await Jobs(bus).change(job_id, change) is not None
    return await small.record_is(bus, job_id, JobState.SUSPENDED)


async def tasks(bus: Bus, pool: str) -> int:
    return await streams.count(bus, subjects.work_stream(pool), subjects.work_stream_subjects(pool))


async def undisturbed(bus: Bus, seed: int) -> str:
    """The digest of the picture of the same job where nobody intervenes."""
    job = await client.submit(bus, small.spec(seed=seed))
    ending = await client.wait(bus, job.job_id)
    assert isinstance(ending, messages.JobDone)
    return ending.digest


@pytest.mark.parametrize("stage", [0, 1])
async def test_it_stops_within_a_step_gives_its_slot_back_and_ends_as_if_nothing_had_been(
    bus: Bus, tmp_path: Path, stage: int
) -> None:
    hold = tmp_path / f"hold-{stage}"
    async with (
        small.scheduler(bus) as asked,
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
        small.worker(bus, "device-1", tmp_path),
    ):
        wanted = await undisturbed(bus, 7)
        hold.touch()
        job = await client.submit(bus, small.spec(seed=7))
        await small.until((tmp_path / f"held-{job.job_id}").exists)
        record = await suspend(bus, job.job_id)
        assert (record.attempt, record.decision, record.stages, record.failures) == (2, None, (), ())
        # The hold is still there, and the worker has one slot: it takes another job only if it let go of this one.
        other = await client.submit(bus, small.spec(seed=8))
        await small.until((tmp_path / f"held-{other.job_id}").exists)
        hold.unlink()
        assert isinstance(await client.wait(bus, other.job_id), messages.JobDone)
        await small.record_is(bus, other.job_id, JobState.COMPLETE)
        assert await tasks(bus, "edge") == await tasks(bus, "device") == 0
        assert (await client.get_job(bus, job.job_id)).state is JobState.SUSPENDED

        await client.resume(bus, job.job_id)
        ending = await client.wait(bus, job.job_id)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
    assert isinstance(ending, messages.JobDone)
    assert ending.digest == wanted == hashlib.sha256(small.expected(7)).hexdigest()
    assert (ending.attempt, record.attempt, record.resumed_at is not None) == (2, 2, True)
    assert [question.attempt for question in asked if question.request.job_id == job.job_id] == [1, 2]


async def test_the_scheduler_learns_nothing_of_what_was_withdrawn(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0").touch()
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec(seed=7))
        await small.until((tmp_path / f"held-{job.job_id}").exists)
        await suspend(bus, job.job_id)
        (tmp_path / "hold-0").unlink()
        await client.resume(bus, job.job_id)
        await small.record_is(bus, job.job_id, JobState.COMPLETE)
        (first,) = await small.outcomes(bus, 1)
    assert (first.failed, first.decision_id.split(".")[1]) == (False, "2")


async def test_what_it_failed_at_before_is_kept_and_being_put_aside_is_no_failure(
    bus: Bus, tmp_path: Path, start: small.Start
) -> None:
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "device-1", tmp_path):
        first = await start("edge-1")
        job = await client.submit(bus, small.spec(seed=7, backoff_limit=20))
        await small.until((tmp_path / "held-0-edge-1").exists)
        await first.kill()
        async with asyncio.timeout(60):
            async for record in client.watch_job(bus, job.job_id):
                if record.failures:
                    break
        async with small.worker(bus, "edge-2", tmp_path):
            await small.until((tmp_path / "held-0-edge-2").exists)
            at_work = await small.record_is(bus, job.job_id, JobState.RUNNING)
            asleep = await suspend(bus, job.job_id)
            assert {failure.reason for failure in asleep.failures} == {"WorkerLost"}
            assert (asleep.failures, asleep.attempt) == (at_work.failures, at_work.attempt + 1)
            (tmp_path / "hold-0").unlink()
            await client.resume(bus, job.job_id)
            ending = await client.wait(bus, job.job_id)
    assert isinstance(ending, messages.JobDone)
    assert (ending.attempt, ending.digest) == (asleep.attempt, hashlib.sha256(small.expected(7)).hexdigest())


async def test_one_that_was_put_aside_may_be_cancelled(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "edge-1", tmp_path):
        job = await client.submit(bus, small.spec(seed=7))
        await small.until((tmp_path / f"held-{job.job_id}").exists)
        await suspend(bus, job.job_id)
        await client.cancel(bus, job.job_id)
        await small.record_is(bus, job.job_id, JobState.CANCELLED)
        assert await tasks(bus, "edge") == 0


async def test_one_that_is_told_so_while_no_driver_is_there_is_put_aside_by_the_next(bus: Bus, tmp_path: Path) -> None:
    """Level-triggered: it does not matter who saw the change."""
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.worker(bus, "edge-1", tmp_path), small.worker(bus, "device-1", tmp_path):
        async with small.driver(bus):
            job = await client.submit(bus, small.spec(seed=7))
            await small.until((tmp_path / f"held-{job.job_id}").exists)
            await small.record_is(bus, job.job_id, JobState.RUNNING)
        putting_aside = asyncio.create_task(suspend(bus, job.job_id))
        async with small.driver(bus):
            assert (await putting_aside).attempt == 2
            (tmp_path / "hold-0").unlink()
            await client.resume(bus, job.job_id)
            assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)


@pytest.mark.parametrize("stage", [None, 0, 1])
async def test_a_job_that_is_resumed_while_its_driver_puts_it_aside_runs_to_its_end(
    bus: Bus, nats_server: Server, tmp_path: Path, stage: int | None
) -> None:
    """With `stage` None its work waits in the queue still."""
    hold = tmp_path / f"hold-{stage}"
    hold.touch()
    async with (
        tapped(nats_server.url) as tap,
        connect(tap.url, nats_server.token) as own,
        small.scheduler(bus),
        small.driver(own),
        contextlib.AsyncExitStack() as workers,
    ):

        async def start() -> None:
            for name in ("edge-1", "device-1"):
                await workers.enter_async_context(small.worker(bus, name, tmp_path))

        if stage is not None:
            await start()
        job = await client.submit(bus, small.spec(backoffLimit=0))
        if stage is None:
            await small.record_is(bus, job.job_id, JobState.SCHEDULED)
        else:
            await small.until((tmp_path / f"held-{job.job_id}").exists)
        subject = f"$KV.{subjects.KV_FENCES}.{job.job_id}"
        fence = tap.hold(lambda said: said.subject == subject and b'"attempt":2' in said.payload)
        await client.set_suspend(bus, job.job_id, suspend=True)
        await asyncio.wait_for(fence.met.wait(), 60)
        await client.resume(bus, job.job_id)
        fence.let_go()
        async with asyncio.timeout(60):
            while not await Fences(bus).is_past(job.job_id, 1):  # who ended before that would have done nothing wrong
                await asyncio.sleep(0.01)
        hold.unlink()
        if stage is None:
            await start()
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
    assert (record.attempt, record.failures) == (2, ())
