"""What dies on the way, and what becomes of the job: real processes that are killed, and a real server."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from pathlib import Path

import pytest

from rise_contracts import codec, messages, subjects
from rise_contracts.configuration import Configuration
from rise_contracts.records import Failure, JobRecord, JobState
from rise_runtime import client, endings, layout, plan, streams, tasks
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.fences import Fences
from rise_runtime.jobs import Jobs
from rise_runtime.seam import Stuck
from rise_runtime.worker import run_worker
from tests import handoffs
from tests.bus.runtime import small
from tests.servers import Server


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


async def test_a_worker_killed_in_mid_stage_costs_nothing_but_time(
    bus: Bus, start: small.Start, tmp_path: Path
) -> None:
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.driver(bus, small.PATIENT), small.worker(bus, "device-1", tmp_path):
        first = await start("edge-1")
        job = await client.submit(bus, small.spec(seed=5))
        await small.until((tmp_path / "held-0-edge-1").exists)
        await first.kill()
        (tmp_path / "hold-0").unlink()
        second = await start("edge-2")
        ending = await client.wait(bus, job.job_id)
        result = await client.fetch_result(bus, job.job_id)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
        assert await second.terminate() == 0
    assert isinstance(ending, messages.JobDone)
    assert result.images == (small.expected(5),)
    assert [status.worker for status in record.stages] == ["edge-2", "device-1"]
    assert record.attempt == 1


async def test_a_worker_told_to_stop_gives_its_task_back_at_once(bus: Bus, start: small.Start, tmp_path: Path) -> None:
    (tmp_path / "hold-1").touch()
    async with (
        small.scheduler(bus),
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
    ):
        first = await start("device-1")
        job = await client.submit(bus, small.spec(seed=6))
        await small.until((tmp_path / "held-1-device-1").exists)
        assert await first.terminate() == 0
        (tmp_path / "hold-1").unlink()
        async with small.worker(bus, "device-2", tmp_path):
            assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(6),)


async def test_a_task_that_kills_its_workers_is_given_up(bus: Bus, start: small.Start) -> None:
    async with small.scheduler(bus), small.driver(bus, small.PATIENT):
        job = await client.submit(bus, small.spec("die"))
        for number in range(small.QUICK.max_deliver):
            victim = await start(f"edge-{number}")
            assert await victim.ended() == 1
        last = await start("edge-9")
        ending = await client.wait(bus, job.job_id)
        assert isinstance(ending, messages.JobFailed)
        assert ending.reason == "DeadLettered"
        assert "started 3 times" in ending.message
        record = await small.record_is(bus, job.job_id, JobState.FAILED)
        assert await last.terminate() == 0
    assert record.error is not None
    assert record.error.reason == "DeadLettered"
    assert await streams.count(bus, subjects.STREAM_DEAD, subjects.dead(job.job_id)) == 1
    assert await streams.count(bus, subjects.work_stream("edge"), subjects.work_stream_subjects("edge")) == 0


async def test_a_message_nobody_can_read_ends_its_job(bus: Bus, tmp_path: Path) -> None:
    async with small.scheduler(bus), small.driver(bus):
        job = await client.submit(bus, small.spec())
        await small.record_is(bus, job.job_id, JobState.SCHEDULED)
        work = subjects.work("edge", None, job.job_id, 1)
        await streams.purge(bus, subjects.work_stream("edge"), work)
        await streams.store(bus, work, b'{"version":1,"nonsense":true}')
        async with small.worker(bus, "edge-1", tmp_path):
            ending = await client.wait(bus, job.job_id)
    assert isinstance(ending, messages.JobFailed)
    assert ending.reason == "DeadLettered"
    assert "cannot be read" in ending.message


async def test_a_stage_that_fails_is_tried_again_and_then_given_up(bus: Bus, tmp_path: Path) -> None:
    async with small.scheduler(bus) as asked, small.driver(bus), small.worker(bus, "edge-1", tmp_path):
        job = await client.submit(bus, small.spec("it shall break", backoff_limit=1))
        ending = await client.wait(bus, job.job_id)
        record = await small.record_is(bus, job.job_id, JobState.FAILED)
        failed = await small.outcomes(bus, 2)
    assert isinstance(ending, messages.JobFailed)
    assert ending.reason == "BackoffLimitExceeded"
    assert "ValueError: this stage breaks every time" in ending.message
    assert record.attempt == 2
    assert [question.attempt for question in asked] == [1, 2]
    assert asked[1].avoid == ("edge-1",)
    assert all(outcome.failed for outcome in failed)


async def test_a_refused_handoff_is_not_tried_again(bus: Bus, tmp_path: Path) -> None:
    async with small.scheduler(bus) as asked, small.driver(bus), small.worker(bus, "edge-1", tmp_path):
        job = await client.submit(bus, small.spec("refuse"))
        ending = await client.wait(bus, job.job_id)
    assert isinstance(ending, messages.JobFailed)
    assert ending.reason == "HandoffRefused"
    assert len(asked) == 1


async def test_a_late_result_of_an_old_attempt_is_refused(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-1").touch()
    async with small.scheduler(bus), small.worker(bus, "edge-1", tmp_path):
        async with small.worker(bus, "device-1", tmp_path):
            async with small.driver(bus):
                job = await client.submit(bus, small.spec("stubborn", seed=8))
                await small.until((tmp_path / "held-1-device-1").exists)
            # Without a driver: the job is given to another attempt while device-1, which heeds nothing, holds it.
            failure = Failure(reason="WorkerLost", message="it seemed so", attempt=1)

            def next_attempt(record: JobRecord) -> JobRecord:
                action = plan.failed(record, failure, time.time())
                assert isinstance(action, plan.Retry)
                return action.record

            await Jobs(bus).change(job.job_id, next_attempt)
            (tmp_path / "hold-1").unlink()
        # device-1 has ended, and so has what it did with its result.
        assert await endings.get(bus, job.job_id) is None
        async with small.driver(bus), small.worker(bus, "device-2", tmp_path):
            ending = await client.wait(bus, job.job_id)
    assert isinstance(ending, messages.JobDone)
    assert (ending.attempt, ending.worker) == (2, "device-2")


@pytest.mark.parametrize("prompt", ["heeds its context", "stubborn"])
async def test_nothing_comes_of_a_handoff_of_an_old_attempt(prompt: str, bus: Bus, tmp_path: Path) -> None:
    """Its fence is asked while it is computed already: of three stages this is the one in the middle."""
    await layout.ensure_pool(bus, "device")
    await Fences(bus).admit("job-1", 2)
    payload = small.handed_over(1)
    head, tail = small.RELAY.stages
    middle = head.model_copy(update={"index": 1, "sigma_from": 1.0, "sigma_to": 0.5})
    stages = (head, middle, tail.model_copy(update={"index": 2, "sigma_from": 0.5}))
    task = messages.StageTask(
        job_id="job-1",
        attempt=1,
        stage_index=1,
        request=messages.JobRequest(job_id="job-1", spec=small.spec(prompt), seed=1, accepted_at=time.time()),
        configuration=small.RELAY.model_copy(update={"stages": stages}),
        handoff=handoffs.header("job-1", payload),
    )
    edge, device = ((subjects.work_stream(pool), subjects.work_stream_subjects(pool)) for pool in ("edge", "device"))
    async with small.worker(bus, "edge-1", tmp_path), asyncio.timeout(60):
        await tasks.send(bus, task, payload)
        while await streams.count(bus, *edge):
            await asyncio.sleep(0.01)
    # The worker has ended, and so has what it did with the task.
    assert await streams.count(bus, *device) == 0
    assert await streams.count(bus, subjects.STREAM_EVENTS, subjects.event("job-1", "*")) == 0


async def test_the_second_ending_of_a_job_is_dropped(bus: Bus) -> None:
    first = messages.JobFailed(job_id="job-1", attempt=1, at=1.0, reason="Test", message="first")
    second = messages.JobCancelled(job_id="job-1", attempt=1, at=2.0)
    kept = await asyncio.gather(endings.keep(bus, first), endings.keep(bus, second))
    assert sorted(one.won for one in kept) == [False, True]
    assert kept[0].ending == kept[1].ending
    again = await endings.keep(bus, kept[0].ending)
    assert again.won, "the same ending stored twice is one success, not a defeat"


async def test_a_driver_that_comes_back_goes_on_where_things_stand(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.worker(bus, "edge-1", tmp_path), small.worker(bus, "device-1", tmp_path):
        async with small.driver(bus):
            running = await client.submit(bus, small.spec(seed=1))
            await small.until((tmp_path / "held-0-edge-1").exists)
        while_away = await client.submit(bus, small.spec(seed=2))
        (tmp_path / "hold-0").unlink()
        # The running job needs no driver to end.
        assert isinstance(await client.wait(bus, running.job_id), messages.JobDone)
        async with small.driver(bus):
            assert (await small.record_is(bus, running.job_id, JobState.COMPLETE)).result is not None
            assert isinstance(await client.wait(bus, while_away.job_id), messages.JobDone)
            await small.outcomes(bus, 2)


async def test_a_head_that_was_never_sent_is_sent_by_the_next_driver(bus: Bus, tmp_path: Path) -> None:
    job = await client.submit(bus, small.spec(seed=4))
    decision = messages.Decision(
        id="d1", job_id=job.job_id, arm=small.RELAY.arm, configuration=small.RELAY, policy="fixed"
    )
    await Jobs(bus).change(job.job_id, lambda record: plan.scheduled(record, decision, time.time()))
    async with (
        small.driver(bus),
        small.worker(bus, "edge-1", tmp_path),
        small.worker(bus, "device-1", tmp_path),
    ):
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)


async def test_work_that_is_nowhere_is_begun_anew(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0").touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "device-1", tmp_path):
        async with small.worker(bus, "edge-1", tmp_path):
            job = await client.submit(bus, small.spec(seed=4))
            await small.until((tmp_path / "held-0-edge-1").exists)
            await small.record_is(bus, job.job_id, JobState.RUNNING)
            await streams.purge(bus, subjects.work_stream("edge"), subjects.work_of_job("edge", job.job_id))
        (tmp_path / "hold-0").unlink()
        async with small.worker(bus, "edge-2", tmp_path):
            ending = await client.wait(bus, job.job_id)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
    assert isinstance(ending, messages.JobDone)
    assert record.attempt == 2
    assert record.failures[0].reason == "WorkLost"


async def test_a_stage_without_any_worker_is_scheduled_anew(bus: Bus, tmp_path: Path) -> None:
    alone = Configuration(arm="large:4", stages=(small.stage(0, "edge", last=True),))
    async with small.driver(bus), small.worker(bus, "edge-1", tmp_path):
        async with small.scheduler(bus):
            job = await client.submit(bus, small.spec(seed=4))
            async for record in client.watch_job(bus, job.job_id):
                if "no worker of pool device" in record.waiting_message:
                    break
        async with small.scheduler(bus, alone):
            ending = await client.wait(bus, job.job_id)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
    assert isinstance(ending, messages.JobDone)
    assert record.failures[0].reason == "WorkerLost"
    assert ending.arm == "large:4"


async def test_a_server_killed_under_a_running_job_loses_nothing(bus: Bus, nats_server: Server, tmp_path: Path) -> None:
    (tmp_path / "hold-0").touch()
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec(seed=9))
        watching = asyncio.create_task(client.wait(bus, job.job_id))
        await small.until((tmp_path / "held-0-edge-1").exists)
        nats_server.kill()
        (tmp_path / "hold-0").unlink()
        nats_server.start()
        ending = await asyncio.wait_for(watching, 60)
        assert isinstance(ending, messages.JobDone)
        assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(9),)
        after = await client.submit(bus, small.spec(seed=10))
        assert isinstance(await asyncio.wait_for(client.wait(bus, after.job_id), 60), messages.JobDone)


async def test_a_stage_that_hangs_costs_its_worker_and_not_the_job(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0").touch()
    impatient = dataclasses.replace(small.QUICK, stall_s=0.3)
    async with small.scheduler(bus), small.driver(bus, small.PATIENT), small.worker(bus, "device-1", tmp_path):
        hanging = asyncio.create_task(
            run_worker(bus, small.identity("edge-1"), small.Hasher(tmp_path), settings=impatient)
        )
        job = await client.submit(bus, small.spec("stubborn", seed=8))
        with pytest.raises(Stuck, match="no sign of life"):
            await asyncio.wait_for(hanging, 60)
        (tmp_path / "hold-0").unlink()
        async with small.worker(bus, "edge-2", tmp_path):
            ending = await client.wait(bus, job.job_id)
            result = await client.fetch_result(bus, job.job_id)
    assert isinstance(ending, messages.JobDone)
    assert [report.worker for report in ending.stages] == ["edge-2", "device-1"]
    assert ending.attempt == 1
    assert result.images == (small.expected(8),)


async def test_a_worker_that_is_still_loading_stops_when_told_to(start: small.Start, tmp_path: Path) -> None:
    (tmp_path / "loading").touch()
    loading = await start("edge-1")
    assert await loading.terminate() == 0
    assert (tmp_path / "loading").exists()


async def test_a_record_that_nobody_can_read_stops_nothing_else(bus: Bus, tmp_path: Path) -> None:
    await Bucket(bus, subjects.KV_JOBS).put("job-odd", b'{"version":2}')
    event = subjects.event("job-odd", "job-cancelled")
    await streams.store(bus, event, codec.encode(messages.JobCancelled(job_id="job-odd", attempt=1, at=1.0)))
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec())
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        await small.record_is(bus, job.job_id, JobState.COMPLETE)
    assert [record.job_id for record in await client.list_jobs(bus)] == [job.job_id]
