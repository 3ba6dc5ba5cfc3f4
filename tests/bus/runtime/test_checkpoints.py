"""Stages that are interrupted go on from their last checkpoint: real workers that are killed, a real server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from benchmarks.chaos.tap import tapped
from rise_contracts import codec, messages, subjects
from rise_runtime import client, endings, layout, streams
from rise_runtime.bus import Bus, connect
from rise_runtime.checkpoints import Checkpoints
from rise_runtime.reporter import Storing
from rise_runtime.seam import Checkpoint
from tests.bus.runtime import small
from tests.handoffs import header
from tests.servers import Server

LARGE = 3 * 2**20


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


def a_task(attempt: int = 1) -> messages.StageTask:
    request = messages.JobRequest(job_id="job-1", spec=small.spec(), seed=1, accepted_at=time.time())
    return messages.StageTask(
        job_id="job-1", attempt=attempt, stage_index=0, request=request, configuration=small.RELAY
    )


def a_checkpoint(step: int, payload: bytes = b"state") -> Checkpoint:
    return Checkpoint(header("job-1", payload), payload, step, 0.25)


async def kept(bus: Bus, job_id: str, stage: int = 0, attempt: int = 1) -> tuple[messages.Checkpoint, bytes] | None:
    lane = small.RELAY.stages[stage].lane
    subject = subjects.checkpoint(lane, job_id, attempt, stage)
    stored = await streams.last(bus, subjects.STREAM_CHECKPOINTS, subject)
    return None if stored is None else codec.decode_with_payload(messages.Checkpoint, stored.data)


async def until_kept(bus: Bus, job_id: str, stage: int, step: int) -> tuple[messages.Checkpoint, bytes]:
    """The job's checkpoint, once it is of that step."""
    async with asyncio.timeout(60):
        while True:
            found = await kept(bus, job_id, stage)
            if found is not None and found[0].step == step:
                return found
            await asyncio.sleep(0.01)


async def chunks(bus: Bus, job_id: str) -> int:
    return await streams.count(bus, subjects.STREAM_BLOBS, subjects.blobs_of_job(job_id, "checkpoint"))


async def started(bus: Bus, job_id: str) -> list[tuple[int, str, int]]:
    """Stage, worker and step of every start that the job's followers heard of."""
    seen = []
    async for event, _ in client.watch(bus, job_id):
        if isinstance(event, messages.StageStarted):
            seen.append((event.stage, event.worker, event.resumed_at))
    return seen


@pytest.mark.parametrize(("stage", "tier"), [(0, "edge"), (1, "device")])
async def test_a_worker_killed_in_mid_stage_costs_the_steps_since_its_checkpoint(
    stage: int, tier: str, bus: Bus, start: small.Start, tmp_path: Path
) -> None:
    hold = tmp_path / f"hold-{stage}-after-3"
    hold.touch()
    other = "device-9" if tier == "edge" else "edge-9"
    async with small.scheduler(bus), small.driver(bus, small.PATIENT), small.worker(bus, other, tmp_path):
        first = await start(f"{tier}-1")
        job = await client.submit(bus, small.spec("a checkpoint", seed=5))
        await until_kept(bus, job.job_id, stage, 3)
        await first.kill()
        hold.unlink()
        second = await start(f"{tier}-2")
        ending = await client.wait(bus, job.job_id)
        result = await client.fetch_result(bus, job.job_id)
        await small.record_is(bus, job.job_id, "Complete")
        assert await second.terminate() == 0
    assert isinstance(ending, messages.JobDone)
    assert result.images == (small.expected(5),)
    assert ending.attempt == 1
    report = ending.stages[stage]
    assert (report.worker, report.steps, report.resumed_at) == (f"{tier}-2", small.STEPS, 3)
    assert report.earlier_seconds == 1.5
    assert [one.resumed_at for one in ending.stages if one.stage != stage] == [0]
    assert (stage, f"{tier}-2", 3) in await started(bus, job.job_id)
    assert await kept(bus, job.job_id, stage) is None


async def test_a_worker_told_to_stop_leaves_its_checkpoint_to_the_next(bus: Bus, tmp_path: Path) -> None:
    """The state is too large for one message, too: of its chunks only those of the last checkpoint stay."""
    hold = tmp_path / "hold-0-after-3"
    hold.touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "device-1", tmp_path, size=LARGE):
        async with small.worker(bus, "edge-1", tmp_path, size=LARGE):
            job = await client.submit(bus, small.spec("a checkpoint", seed=6))
            found, behind = await until_kept(bus, job.job_id, 0, 3)
            assert (found.payload.kind, behind) == ("chunks", b"")
        hold.unlink()
        assert await chunks(bus, job.job_id) == found.payload.chunks
        async with small.worker(bus, "edge-2", tmp_path, size=LARGE):
            ending = await client.wait(bus, job.job_id)
        await small.record_is(bus, job.job_id, "Complete")
        assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(6, LARGE),)
        # The record says Complete first; a driver that is stopped in between has not cleared up yet.
        async with asyncio.timeout(60):
            while await chunks(bus, job.job_id):
                await asyncio.sleep(0.05)
    assert isinstance(ending, messages.JobDone)
    assert [(report.worker, report.resumed_at) for report in ending.stages] == [("edge-2", 3), ("device-1", 0)]
    assert await chunks(bus, job.job_id) == 0


async def interrupted(bus: Bus, tmp_path: Path, prompt: str, spoil: Callable[[str], Awaitable[object]]) -> int:
    """Interrupt a head after its third step, spoil its checkpoint; the step at which the next worker goes on."""
    hold = tmp_path / "hold-0-after-3"
    hold.touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "device-1", tmp_path, size=LARGE):
        async with small.worker(bus, "edge-1", tmp_path, size=LARGE):
            job = await client.submit(bus, small.spec(prompt, seed=7))
            await until_kept(bus, job.job_id, 0, 3)
        await spoil(job.job_id)
        hold.unlink()
        async with small.worker(bus, "edge-2", tmp_path, size=LARGE):
            ending = await client.wait(bus, job.job_id)
        assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(7, LARGE),)
    assert isinstance(ending, messages.JobDone)
    assert ending.stages[0].earlier_seconds == 0.5 * ending.stages[0].resumed_at
    return ending.stages[0].resumed_at


async def test_a_checkpoint_with_a_chunk_missing_is_of_no_use(bus: Bus, tmp_path: Path) -> None:
    async def spoil(job_id: str) -> None:
        found = await kept(bus, job_id)
        assert found is not None
        assert found[0].payload.subject is not None
        info = await streams.last(bus, subjects.STREAM_BLOBS, f"{found[0].payload.subject}.0")
        assert info is not None
        await streams.delete(bus, subjects.STREAM_BLOBS, info.sequence)

    assert await interrupted(bus, tmp_path, "a checkpoint", spoil) == 0


@pytest.mark.parametrize("garbage", [b"", b"{", b"\x00\xff\n\x00", b'{"version":2}', b'{"job_id":"job-1","step":3}'])
async def test_a_checkpoint_that_nobody_can_read_is_of_no_use(garbage: bytes, bus: Bus) -> None:
    await streams.store(bus, subjects.checkpoint("edge.any", "job-1", 1, 0), garbage)
    assert await Checkpoints(bus, a_task(), Storing(bus)).find() is None


async def test_a_checkpoint_under_another_name_is_of_no_use(bus: Bus) -> None:
    await stored(bus, Checkpoints(bus, a_task(), Storing(bus)), a_checkpoint(2))
    found = await streams.last(bus, subjects.STREAM_CHECKPOINTS, subjects.checkpoint("edge.any", "job-1", 1, 0))
    assert found is not None
    await streams.store(bus, subjects.checkpoint("edge.any", "job-1", 2, 0), found.data)
    assert await Checkpoints(bus, a_task(attempt=2), Storing(bus)).find() is None


async def test_a_damaged_checkpoint_is_of_no_use(bus: Bus) -> None:
    await stored(bus, Checkpoints(bus, a_task(), Storing(bus)), a_checkpoint(2))
    found = await streams.last(bus, subjects.STREAM_CHECKPOINTS, subjects.checkpoint("edge.any", "job-1", 1, 0))
    assert found is not None
    await streams.store(bus, found.subject, found.data[:-1] + b"?")
    assert await Checkpoints(bus, a_task(), Storing(bus)).find() is None


async def test_a_handler_that_cannot_use_the_checkpoint_begins_anew(bus: Bus, tmp_path: Path) -> None:
    async def leave(job_id: str) -> None:
        assert await kept(bus, job_id) is not None

    assert await interrupted(bus, tmp_path, "a forgetful checkpoint", leave) == 0


async def test_a_job_without_interruptions_leaves_no_checkpoint(bus: Bus, tmp_path: Path) -> None:
    workers = small.worker(bus, "edge-1", tmp_path, size=LARGE), small.worker(bus, "device-1", tmp_path, size=LARGE)
    async with small.scheduler(bus), small.driver(bus), workers[0], workers[1]:
        job = await client.submit(bus, small.spec("a checkpoint", seed=3))
        ending = await client.wait(bus, job.job_id)
        await small.record_is(bus, job.job_id, "Complete")
    assert isinstance(ending, messages.JobDone)
    assert all((report.resumed_at, report.earlier_seconds) == (0, 0.0) for report in ending.stages)
    assert await chunks(bus, job.job_id) == 0
    assert await streams.count(bus, subjects.STREAM_CHECKPOINTS, subjects.ALL_CHECKPOINTS) == 0


async def test_a_cancelled_job_leaves_no_checkpoint(bus: Bus, tmp_path: Path) -> None:
    (tmp_path / "hold-0-after-3").touch()
    async with small.scheduler(bus), small.driver(bus), small.worker(bus, "edge-1", tmp_path, size=LARGE):
        job = await client.submit(bus, small.spec("a checkpoint", seed=3))
        await until_kept(bus, job.job_id, 0, 3)
        await client.cancel(bus, job.job_id)
        await small.record_is(bus, job.job_id, "Cancelled")
        async with asyncio.timeout(60):
            while await kept(bus, job.job_id) is not None or await chunks(bus, job.job_id):
                await asyncio.sleep(0.01)


async def test_checkpoints_that_cannot_be_stored_fail_no_stage(bus: Bus, tmp_path: Path) -> None:
    workers = small.worker(bus, "edge-1", tmp_path), small.worker(bus, "device-1", tmp_path)
    async with small.scheduler(bus), small.driver(bus), workers[0], workers[1]:
        await streams.api(bus, f"STREAM.DELETE.{subjects.STREAM_CHECKPOINTS}")
        job = await client.submit(bus, small.spec("a checkpoint", seed=3))
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(3),)


async def stored(bus: Bus, one: Checkpoints, *given: Checkpoint) -> messages.Checkpoint:
    """What is kept of those given together."""
    for checkpoint in given:
        one.give(checkpoint)
    running = asyncio.create_task(one.run())
    found, _ = await until_kept(bus, "job-1", 0, given[-1].step)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return found


async def test_only_the_newest_that_waits_is_sent(bus: Bus) -> None:
    one = Checkpoints(bus, a_task(), Storing(bus))
    await stored(bus, one, a_checkpoint(1), a_checkpoint(2), a_checkpoint(3))
    last = await streams.last(bus, subjects.STREAM_CHECKPOINTS, subjects.checkpoint("edge.any", "job-1", 1, 0))
    assert last is not None
    assert last.sequence == 1
    assert one.seconds > 0


async def test_what_was_given_is_found_whole(bus: Bus) -> None:
    given = a_checkpoint(2, b"\n{}\x00" * 100)
    await stored(bus, Checkpoints(bus, a_task(), Storing(bus)), given)
    assert await Checkpoints(bus, a_task(), Storing(bus)).find() == given


async def test_another_attempt_does_not_see_it(bus: Bus) -> None:
    await stored(bus, Checkpoints(bus, a_task(), Storing(bus)), a_checkpoint(2))
    assert await Checkpoints(bus, a_task(attempt=2), Storing(bus)).find() is None


async def test_what_is_found_goes_when_it_is_dropped(bus: Bus) -> None:
    await stored(bus, Checkpoints(bus, a_task(), Storing(bus)), a_checkpoint(2, b"x" * LARGE))
    next_delivery = Checkpoints(bus, a_task(), Storing(bus))
    assert await next_delivery.find() is not None
    await next_delivery.drop()
    assert await kept(bus, "job-1") is None
    assert await chunks(bus, "job-1") == 0


async def test_the_oldest_make_room_for_the_newest(bus: Bus) -> None:
    answer = await streams.api(bus, f"STREAM.INFO.{subjects.STREAM_CHECKPOINTS}")
    config = answer["config"]
    assert (config["discard"], config["max_bytes"]) == ("old", layout.CHECKPOINT_BYTES)
    assert config["max_age"] == layout.KEEP_CHECKPOINTS_S * 1e9
    await streams.api(bus, f"STREAM.UPDATE.{subjects.STREAM_CHECKPOINTS}", {**config, "max_bytes": 10_000})
    for number in range(10):
        await streams.store(bus, subjects.checkpoint("edge.any", f"job-{number}", 1, 0), b"x" * 3000)
    assert await kept_bytes(bus, 0) == 0
    assert await kept_bytes(bus, 9) == 3000


async def kept_bytes(bus: Bus, number: int) -> int:
    stored = await streams.last(
        bus, subjects.STREAM_CHECKPOINTS, subjects.checkpoint("edge.any", f"job-{number}", 1, 0)
    )
    return 0 if stored is None else len(stored.data)


async def test_dropping_all_of_a_job_leaves_the_others(bus: Bus) -> None:
    for job in ("job-1", "job-2"):
        await streams.store(bus, subjects.checkpoint("edge.any", job, 1, 0), b"x")
    await endings.drop_checkpoints(bus, "job-1")
    assert await streams.count(bus, subjects.STREAM_CHECKPOINTS, subjects.checkpoints_of_job("job-1")) == 0
    assert await streams.count(bus, subjects.STREAM_CHECKPOINTS, subjects.checkpoints_of_job("job-2")) == 1


async def test_what_a_stopped_worker_still_stored_of_a_cancelled_job_goes_too(
    bus: Bus, nats_server: Server, tmp_path: Path
) -> None:
    async with tapped(nats_server.url) as tap, connect(tap.url, nats_server.token) as own:
        hold = tap.hold(lambda said: said.subject.startswith("rise.checkpoints."))
        async with small.scheduler(bus), small.driver(bus), small.worker(own, "edge-1", tmp_path):
            (tmp_path / "hold-0-after-2").touch()
            job = await client.submit(bus, small.spec("checkpoint"))
            await asyncio.wait_for(hold.met.wait(), 60)
            await client.cancel(bus, job.job_id)
            hold.let_go()
            (tmp_path / "hold-0-after-2").unlink()
            async with small.worker(bus, "device-1", tmp_path):
                # The next job's head comes when the worker has done with this one.
                following = await client.submit(bus, small.spec())
                await asyncio.wait_for(client.wait(bus, following.job_id), 60)
            assert await kept(bus, job.job_id) is None
