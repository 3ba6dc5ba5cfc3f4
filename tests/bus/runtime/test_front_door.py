"""What a front door sees: refusals of the scheduler, previews, jobs long over, removal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rise_contracts import errors, messages, subjects
from rise_contracts.records import JobState, Waiting
from rise_runtime import client, endings, layout, services, streams
from rise_runtime.bus import Bus, Incoming
from rise_runtime.seam import Handoff, StageContext, StageResult
from rise_runtime.worker import run_worker
from tests.bus.runtime import small


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


@contextlib.asynccontextmanager
async def refusing(bus: Bus, make: Callable[[], errors.RiseError]) -> AsyncIterator[None]:
    """A scheduler that answers every question with an error."""

    async def answer(question: messages.Configure) -> messages.Decision:
        raise make()

    serving = await services.serve(bus, subjects.CONFIGURE, messages.Configure, answer)
    try:
        yield
    finally:
        await serving.stop()


async def waiting_for(bus: Bus, job_id: str, reason: Waiting) -> str:
    """The message with which the job waits, once it waits for `reason`."""
    async with asyncio.timeout(60):
        async for record in client.watch_job(bus, job_id):
            if record.waiting_reason is reason:
                return record.waiting_message
    raise AssertionError("the job ended")


async def test_what_the_scheduler_can_never_place_fails_with_its_reason(bus: Bus) -> None:
    async with refusing(bus, lambda: errors.UnknownName("family", "rise-shape", ["rise-shapes"])), small.driver(bus):
        job = await client.submit(bus, small.spec(family="rise-shape"))
        ending = await client.wait(bus, job.job_id)
        with pytest.raises(errors.JobEndedBadly, match="did you mean 'rise-shapes'") as caught:
            await client.fetch_result(bus, job.job_id)
    assert isinstance(ending, messages.JobFailed)
    assert ending.reason == "UnknownName"
    assert (caught.value.reason, caught.value.exit_code) == ("UnknownName", 4)


async def test_what_the_scheduler_cannot_place_now_waits_and_runs_later(bus: Bus, tmp_path: Path) -> None:
    async with (
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
        small.worker(bus, "device-1", tmp_path),
    ):
        async with refusing(bus, lambda: errors.Busy("no worker has member large")):
            job = await client.submit(bus, small.spec())
            assert await waiting_for(bus, job.job_id, Waiting.NO_CONFIGURATION) == "no worker has member large"
        async with small.scheduler(bus):
            assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)


async def test_a_scheduler_that_talks_nonsense_is_waited_out(bus: Bus) -> None:
    async def nonsense(message: Incoming) -> None:
        await bus.publish(message.reply, b'{"version":1,"words":"nonsense"}')

    await bus.subscribe(subjects.CONFIGURE, nonsense)
    async with small.driver(bus):
        job = await client.submit(bus, small.spec())
        told = await waiting_for(bus, job.job_id, Waiting.NO_CONFIGURATION)
    assert "is not understood" in told


async def test_why_a_job_waits_is_written_once(bus: Bus) -> None:
    async with small.driver(bus):
        job = await client.submit(bus, small.spec(start_deadline_seconds=1.5))
        await client.wait(bus, job.job_id)
        await small.record_is(bus, job.job_id, JobState.FAILED)
    message = await streams.last(bus, f"KV_{subjects.KV_JOBS}", f"$KV.{subjects.KV_JOBS}.{job.job_id}")
    assert message is not None
    assert message.sequence == 3, "accepted, waiting, failed"


async def test_a_preview_comes_with_the_handoff(bus: Bus, tmp_path: Path) -> None:
    hasher = small.Hasher(tmp_path)

    def previewing(task: messages.StageTask, payload: bytes, context: StageContext) -> StageResult:
        result = hasher(task, payload, context)
        assert isinstance(result, Handoff)
        preview = b"\x89PNG\n\x00" if task.request.preview else b""
        return Handoff(result.header, result.payload, result.steps, {"denoise": 0.5}, preview)

    stop = asyncio.Event()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "device-1", tmp_path):
        head = asyncio.create_task(run_worker(bus, small.identity("edge-1"), previewing, stop=stop))
        job = await client.submit(bus, small.spec(), preview=True)
        events = [item async for item in client.watch(bus, job.job_id)]
        stop.set()
        await head
    assert [behind for event, behind in events if event.kind == "handoff-sent"] == [b"\x89PNG\n\x00"]
    done = events[-1][0]
    assert isinstance(done, messages.JobDone)
    assert done.stages[0].timings == {"denoise": 0.5}


async def test_a_job_long_over_can_be_watched_and_fetched(bus: Bus, tmp_path: Path) -> None:
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec(seed=11))
        await small.record_is(bus, job.job_id, JobState.COMPLETE)
    kinds = [event.kind async for event, _ in client.watch(bus, job.job_id)]
    assert kinds[-1] == "job-done"
    # Events are kept for a day, results for longer: the ending is found without them.
    await streams.purge(bus, subjects.STREAM_EVENTS, subjects.events_of_job(job.job_id))
    assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
    assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(11),)


async def test_a_job_that_does_not_exist_is_told(bus: Bus) -> None:
    for ask in (client.get_job, client.cancel, client.fetch_result, client.resume, client.remove, client.wait):
        with pytest.raises(errors.NotFound, match="'job-none' does not exist"):
            await ask(bus, "job-none")


async def test_a_result_is_not_there_before_its_time(bus: Bus) -> None:
    job = await client.submit(bus, small.spec())
    with pytest.raises(errors.NotFound, match="the job is Pending"):
        await client.fetch_result(bus, job.job_id)


async def test_only_finished_jobs_are_removed(bus: Bus) -> None:
    job = await client.submit(bus, small.spec())
    with pytest.raises(errors.Busy, match="cancel it first"):
        await client.remove(bus, job.job_id)
    await client.cancel(bus, job.job_id)
    await client.remove(bus, job.job_id)
    assert await client.list_jobs(bus) == []
    assert await endings.get(bus, job.job_id) is None


async def test_a_job_cancelled_while_nobody_is_there_is_cancelled(bus: Bus, tmp_path: Path) -> None:
    job = await client.submit(bus, small.spec())
    assert (await client.cancel(bus, job.job_id)).state is JobState.CANCELLED
    assert (await client.cancel(bus, job.job_id)).state is JobState.CANCELLED
    async with small.scheduler(bus) as asked, small.driver(bus), small.worker(bus, "edge-1", tmp_path):
        other = await client.submit(bus, small.spec())
        await small.record_is(bus, other.job_id, JobState.RUNNING)
        assert {question.request.job_id for question in asked} == {other.job_id}
        await client.cancel(bus, other.job_id)


async def test_the_ending_shows_before_any_driver_took_note(bus: Bus) -> None:
    job = await client.submit(bus, small.spec())
    ending = messages.JobFailed(job_id=job.job_id, attempt=1, at=1.0, reason="Test", message="it broke")
    await endings.keep(bus, ending)
    assert (await client.get_job(bus, job.job_id)).state is JobState.FAILED
    assert (await client.cancel(bus, job.job_id)).state is JobState.FAILED
    async with small.driver(bus):
        record = await small.record_is(bus, job.job_id, JobState.FAILED)
    assert record.error is not None
    assert record.error.message == "it broke"


async def test_a_seed_is_drawn_once_and_kept(bus: Bus) -> None:
    first = await client.submit(bus, small.spec())
    second = await client.submit(bus, small.spec())
    assert first.request.seed != second.request.seed
    assert (await client.get_job(bus, first.job_id)).request.seed == first.request.seed
    fixed = await client.submit(bus, small.spec(seed=2**63 - 1), name="a-rather-long-name-for-one-little-job")
    assert fixed.request.seed == 2**63 - 1
    assert fixed.job_id.startswith("a-rather-long-name-for-one-lit-")
