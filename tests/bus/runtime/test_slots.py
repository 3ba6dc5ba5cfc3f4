"""A worker with several slots: it is at several jobs at once, and what becomes of each is its own affair."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest

from rise_contracts import messages, subjects
from rise_contracts.records import JobState
from rise_runtime import client, layout, streams
from rise_runtime.bus import Bus
from rise_runtime.seam import Stuck, WorkerStatus
from rise_runtime.worker import run_worker
from tests.bus.runtime import small

THREE = dataclasses.replace(small.QUICK, slots=3)


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


@pytest.fixture
def hold(tmp_path: Path) -> Path:
    """While it is there, every head stops after each step."""
    path = tmp_path / "hold-0"
    path.touch()
    return path


def held(folder: Path, jobs: Sequence[messages.JobRequest]) -> list[str]:
    """The jobs that are, or were, at work while `hold` was there."""
    return [job.job_id for job in jobs if (folder / f"held-{job.job_id}").exists()]


async def submit(bus: Bus, jobs: int, prompt: str = "a red circle") -> list[messages.JobRequest]:
    records = [await client.submit(bus, small.spec(prompt, seed=seed)) for seed in range(jobs)]
    return [record.request for record in records]


async def all_right(bus: Bus, jobs: Sequence[messages.JobRequest], deliveries: int = 1) -> None:
    """Each job ends in its picture, in its first attempt, after so many starts of its head; the queues are empty."""
    for job in jobs:
        ending = await asyncio.wait_for(client.wait(bus, job.job_id), 60)
        assert isinstance(ending, messages.JobDone), ending
        assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(job.seed),)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
        assert record.attempt == 1
        assert record.stages[0].delivery <= deliveries
    for pool in ("edge", "device"):
        assert await streams.count(bus, subjects.work_stream(pool), subjects.work_stream_subjects(pool)) == 0


async def test_it_takes_as_many_as_it_has_slots_and_no_more(bus: Bus, tmp_path: Path, hold: Path) -> None:
    async with (
        small.scheduler(bus),
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path, settings=THREE),
        small.worker(bus, "device-1", tmp_path),
    ):
        jobs = await submit(bus, 5)
        beat = await small.heartbeat(bus, lambda beat: len(beat.busy_jobs) == 3 and beat.queue_depth == 2)
        assert (beat.worker, beat.slots) == ("edge-1", 3)
        await small.until(lambda: len(held(tmp_path, jobs)) == 3)
        assert set(beat.busy_jobs) == set(held(tmp_path, jobs))
        hold.unlink()
        await all_right(bus, jobs)


async def test_a_cancelled_job_frees_its_slot_and_only_its_own(bus: Bus, tmp_path: Path, hold: Path) -> None:
    two = dataclasses.replace(small.QUICK, slots=2)
    async with (
        small.scheduler(bus),
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path, settings=two),
        small.worker(bus, "device-1", tmp_path),
    ):
        first, second = await submit(bus, 2)
        await small.until(lambda: len(held(tmp_path, [first, second])) == 2)
        (third,) = await submit(bus, 1)
        await client.cancel(bus, first.job_id)
        await small.until(lambda: held(tmp_path, [third]) != [])
        await small.heartbeat(bus, lambda beat: set(beat.busy_jobs) == {second.job_id, third.job_id})
        hold.unlink()
        await all_right(bus, [second, third])
        assert isinstance(await client.wait(bus, first.job_id), messages.JobCancelled)


async def test_told_to_stop_it_gives_everything_back_at_once(
    bus: Bus, start: small.Start, tmp_path: Path, hold: Path
) -> None:
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "device-1", tmp_path):
        first = await start("edge-1", slots=3)
        jobs = await submit(bus, 3)
        await small.until(lambda: len(held(tmp_path, jobs)) == 3)
        assert await first.terminate() == 0
        hold.unlink()
        async with small.worker(bus, "edge-2", tmp_path, settings=THREE):
            await all_right(bus, jobs, deliveries=2)


async def test_killed_it_costs_nothing_but_time(bus: Bus, start: small.Start, tmp_path: Path, hold: Path) -> None:
    async with small.scheduler(bus), small.driver(bus, small.PATIENT), small.worker(bus, "device-1", tmp_path):
        first = await start("edge-1", slots=3)
        jobs = await submit(bus, 3)
        await small.until(lambda: len(held(tmp_path, jobs)) == 3)
        await first.kill()
        hold.unlink()
        await start("edge-2", slots=3)
        await all_right(bus, jobs, deliveries=2)


async def test_a_task_that_kills_its_workers_does_not_take_the_others_with_it(
    bus: Bus, start: small.Start, tmp_path: Path, hold: Path
) -> None:
    async with small.scheduler(bus), small.driver(bus, small.PATIENT), small.worker(bus, "device-1", tmp_path):
        first = await start("edge-1", slots=3)
        jobs = await submit(bus, 2)
        await small.until(lambda: len(held(tmp_path, jobs)) == 2)
        (deadly,) = await submit(bus, 1, "die")
        assert await first.ended() == 1

        async def survivor() -> None:
            """Start workers until one outlives the task."""
            for number in count(2):
                process = await start(f"edge-{number}", slots=3)
                ends = asyncio.ensure_future(process.ended())
                await asyncio.wait({ends, ending}, return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    ends.cancel()
                    return

        ending = asyncio.ensure_future(client.wait(bus, deadly.job_id))
        surviving = asyncio.create_task(survivor())
        # What was delivered before is worked on alone: its worker lives on, and takes nothing else.
        once = await small.heartbeat(bus, lambda beat: beat.pool == "edge" and len(beat.busy_jobs) == 1)
        later = await small.heartbeat(bus, lambda beat: beat.worker == once.worker and beat.at > once.at + 1.5)
        assert later.busy_jobs == once.busy_jobs
        assert {*later.busy_jobs} < {job.job_id for job in jobs}
        hold.unlink()
        ended = await asyncio.wait_for(ending, 60)
        await surviving
        await all_right(bus, jobs, deliveries=3)
    assert isinstance(ended, messages.JobFailed)
    assert ended.reason == "DeadLettered"


async def test_a_stage_that_hangs_ends_its_worker_which_gives_the_others_back(
    bus: Bus, tmp_path: Path, hold: Path
) -> None:
    impatient = dataclasses.replace(small.QUICK, slots=2, stall_s=1.0)
    async with small.scheduler(bus), small.driver(bus, small.PATIENT), small.worker(bus, "device-1", tmp_path):
        (hanging,) = await submit(bus, 1, "stubborn")
        (other,) = await submit(bus, 1)
        with pytest.raises(Stuck, match=hanging.job_id):
            await run_worker(bus, small.identity("edge-1"), small.Hasher(tmp_path), settings=impatient)
        assert len(held(tmp_path, [hanging, other])) == 2
        hold.unlink()
        async with small.worker(bus, "edge-2", tmp_path, settings=THREE):
            await all_right(bus, [hanging, other], deliveries=2)


async def test_a_full_handler_is_left_alone_until_there_is_room(bus: Bus, tmp_path: Path, hold: Path) -> None:
    ready, stop = asyncio.Event(), asyncio.Event()
    work = run_worker(
        bus,
        small.identity("edge-1"),
        small.Hasher(tmp_path),
        status=lambda: WorkerStatus(gain=1.5, full=hold.exists()),
        stop=stop,
        settings=THREE,
        on_ready=ready.set,
    )
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "device-1", tmp_path):
        working = asyncio.create_task(work)
        await ready.wait()
        jobs = await submit(bus, 3)
        beat = await small.heartbeat(bus, lambda beat: len(beat.busy_jobs) == 1 and beat.queue_depth == 2)
        assert beat.gain == 1.5
        assert len(held(tmp_path, jobs)) == 1
        hold.unlink()
        await all_right(bus, jobs)
        stop.set()
        await working


async def test_what_waits_for_the_worker_and_for_its_pool_is_taken_together(bus: Bus, tmp_path: Path) -> None:
    """Tasks in both queues, before the worker is there: its slots are filled from both."""
    (tmp_path / "hold-0").touch()
    await layout.ensure_pool(bus, "edge")
    bound = small.RELAY.model_copy(
        update={"stages": (small.stage(0, "edge", last=False, worker="edge-1"), small.RELAY.stages[1])}
    )
    async with small.driver(bus, small.PATIENT), small.worker(bus, "device-1", tmp_path):
        async with small.scheduler(bus, bound):
            own = await submit(bus, 1)
            await small.record_is(bus, own[0].job_id, JobState.SCHEDULED)
        async with small.scheduler(bus):
            shared = await submit(bus, 1)
            await small.record_is(bus, shared[0].job_id, JobState.SCHEDULED)
        async with small.worker(bus, "edge-1", tmp_path, settings=THREE):
            await small.until(lambda: len(held(tmp_path, [*own, *shared])) == 2)
            (tmp_path / "hold-0").unlink()
            await all_right(bus, [*own, *shared])
