"""A device that lies, or floods, or writes where it has no business: what becomes of it, and of the job.

The liar is a connection of its own with the very functions that an honest device uses. What the server itself refuses
to a device is in `test_rights.py`; here it has all rights on the bus, and is found out all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from rise_contracts import codec, messages, subjects
from rise_contracts.records import JobRecord, JobState
from rise_runtime import blobs, client, customs, endings, layout, streams
from rise_runtime.bus import Bus
from rise_runtime.heartbeat import Workers
from rise_runtime.outcasts import Outcasts
from rise_runtime.reporter import Offering
from rise_runtime.seam import Identity
from tests.bus.runtime import small
from tests.pictures import WIDTH, picture

LIAR = Identity("device-9", "device", "device")
FORGED = picture(b"a picture of the liar's own.....")


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


@contextlib.asynccontextmanager
async def held_in_the_tail(bus: Bus, folder: Path) -> AsyncIterator[JobRecord]:
    """A relay with a job in its tail, at the honest device-1, which is let go when the block ends."""
    hold = folder / "hold-1"
    hold.touch()
    async with small.relay(bus, folder):
        job = await client.submit(bus, small.spec(seed=4))
        await small.until((folder / "held-1-device-1").exists)
        try:
            yield await small.record_is(bus, job.job_id, JobState.RUNNING)
        finally:
            hold.unlink()


def forged(record: JobRecord, made: bytes = FORGED, **changes: Any) -> messages.JobDone:
    """A result as the liar would have it: all is consistent, unless `changes` say otherwise."""
    assert record.decision is not None
    digest = hashlib.sha256(made).hexdigest()
    now = time.time()

    def report(index: int, worker: str) -> messages.StageReport:
        assert record.decision is not None
        stage = record.decision.configuration.stages[index]
        return messages.StageReport(
            stage=index,
            member=stage.member,
            tier=stage.tier,
            pool=stage.pool,
            worker=worker,
            steps=small.STEPS,
            seconds=1.0,
            started_at=now,
            finished_at=now,
        )

    done = messages.JobDone(
        job_id=record.job_id,
        attempt=record.attempt,
        at=now,
        worker=LIAR.name,
        arm=record.decision.arm,
        seed=record.request.seed,
        digest=digest,
        nbytes=len(made),
        images=(messages.ImageRef(nbytes=len(made), sha256=digest, width=WIDTH, height=1),),
        payload=blobs.inline(made),
        stages=(report(0, "edge-1"), report(1, LIAR.name)),
    )
    return done.model_copy(update=changes)


async def until_cut_off(bus: Bus) -> None:
    async with asyncio.timeout(30):
        while LIAR.name not in await Outcasts(bus).now():
            await asyncio.sleep(0.01)


LIES: dict[str, dict[str, Any]] = {
    "another digest": {"digest": "b" * 64},
    "another seed": {"seed": 77},
    "another arm": {"arm": "large:99"},
    "somebody else's name": {"worker": "device-1"},
    "an attempt to come": {"attempt": 7},
    "chunks of the edge's": {
        "payload": messages.PayloadRef(
            kind="chunks", nbytes=9, sha256="0" * 64, subject="rise.blobs.edge.any.RISE.job-1.handoff.1.ab", chunks=1
        )
    },
    "chunks of everybody's": {
        "payload": messages.PayloadRef(
            kind="chunks", nbytes=9, sha256="0" * 64, subject="rise.blobs.device.any.>", chunks=1
        )
    },
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
async def test_a_device_that_lies_is_cut_off_and_its_job_goes_elsewhere(
    lie: dict[str, Any], bus: Bus, tmp_path: Path
) -> None:
    async with held_in_the_tail(bus, tmp_path) as record:
        await Offering(bus, LIAR).finish(forged(record, **lie), FORGED)
        await until_cut_off(bus)
        async with asyncio.timeout(30):
            while (await client.get_job(bus, record.job_id)).attempt == 1:
                await asyncio.sleep(0.01)
        assert await endings.get(bus, record.job_id) is None
    async with small.relay(bus, tmp_path):
        assert isinstance(await client.wait(bus, record.job_id), messages.JobDone)
        again = await small.record_is(bus, record.job_id, JobState.COMPLETE)
    assert (await client.fetch_result(bus, record.job_id)).images == (small.expected(4),)
    assert again.failures[0].reason == "OfferRefused"
    assert LIAR.name in again.avoid


@pytest.mark.parametrize("payload", [b"no picture at all", FORGED[:-4], FORGED + b"and more"])
async def test_what_is_no_picture_is_not_stored(payload: bytes, bus: Bus, tmp_path: Path) -> None:
    async with held_in_the_tail(bus, tmp_path) as record:
        await Offering(bus, LIAR).finish(forged(record, payload), payload)
        await until_cut_off(bus)
        assert await endings.get(bus, record.job_id) is None


async def test_what_is_no_message_at_all_is_a_lie_too(bus: Bus, tmp_path: Path) -> None:
    async with held_in_the_tail(bus, tmp_path) as record:
        await streams.store(bus, subjects.offer("device", LIAR.name, record.job_id, "job-done"), b"\x80\x04pickled")
        await until_cut_off(bus)
    async with small.relay(bus, tmp_path):
        assert isinstance(await client.wait(bus, record.job_id), messages.JobDone)


async def test_a_liar_cannot_end_or_stop_a_job_that_is_not_its_own(bus: Bus, tmp_path: Path) -> None:
    """It is cut off for the try, and the job goes on as if nothing had been: not even an attempt is lost."""
    stranger = Identity(LIAR.name, "device", "phones")
    async with held_in_the_tail(bus, tmp_path) as record:
        failure = messages.StageFailed(
            job_id=record.job_id,
            attempt=1,
            at=time.time(),
            stage=1,
            worker=LIAR.name,
            reason="StageFailed",
            message="so there",
            retriable=False,
        )
        await Offering(bus, stranger).event(failure)
        await until_cut_off(bus)
        (tmp_path / "hold-1").rename(tmp_path / "let-go")
        assert isinstance(await client.wait(bus, record.job_id), messages.JobDone)
        (tmp_path / "hold-1").touch()
    record = await client.get_job(bus, record.job_id)
    assert (record.state, record.attempt, record.failures) == (JobState.COMPLETE, 1, ())


async def test_nothing_of_a_device_that_was_cut_off_is_taken_nor_is_anything_sent_to_it(
    bus: Bus, tmp_path: Path
) -> None:
    await Outcasts(bus).add(LIAR.name, "for the test")
    async with held_in_the_tail(bus, tmp_path) as record:
        await Offering(bus, LIAR).finish(forged(record), FORGED)
        async with asyncio.timeout(30):
            while await streams.count(bus, subjects.STREAM_OFFERS, subjects.ALL_OFFERS):
                await asyncio.sleep(0.01)
        assert await endings.get(bus, record.job_id) is None
    await Outcasts(bus).pardon(LIAR.name)
    async with small.worker(bus, "edge-1", tmp_path), small.worker(bus, LIAR.name, tmp_path):
        await Outcasts(bus).add(LIAR.name, "for the test")
        await Workers(bus).until_ready(["edge-1"], 30.0, "")
        assert [beat.worker for beat in await Workers(bus).now()] == ["edge-1"]
        await Outcasts(bus).pardon(LIAR.name)
        await Workers(bus).until_ready(["edge-1", LIAR.name], 30.0, "")


async def test_a_flood_is_dammed_and_others_are_heard(bus: Bus, tmp_path: Path) -> None:
    liar = Offering(bus, LIAR)
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec(seed=1))
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
        for _ in range(2 * customs.MOST_IN_VAIN + 2):  # two share the work of looking, and each counts what it sees
            await liar.finish(forged(record), FORGED)
        await until_cut_off(bus)
        other = await client.submit(bus, small.spec(seed=2))
        assert isinstance(await client.wait(bus, other.job_id), messages.JobDone)
    assert (await client.fetch_result(bus, other.job_id)).images == (small.expected(2),)


async def test_who_has_the_customs_wait_for_what_is_not_there_is_cut_off(bus: Bus, tmp_path: Path) -> None:
    nowhere = messages.PayloadRef(
        kind="chunks", nbytes=9, sha256="0" * 64, subject="rise.blobs.device.any.device-9.job-1.result.1.ab", chunks=1
    )
    async with held_in_the_tail(bus, tmp_path) as record:
        for _ in range(2 * customs.MOST_IN_VAIN // customs.MISSING_COUNTS):
            await Offering(bus, LIAR).finish(forged(record, payload=nowhere), FORGED)
        await until_cut_off(bus)
        assert await endings.get(bus, record.job_id) is None


async def test_what_comes_too_late_is_dropped_and_is_no_lie(bus: Bus, tmp_path: Path) -> None:
    async with small.relay(bus, tmp_path):
        job = await client.submit(bus, small.spec(seed=1))
        ending = await client.wait(bus, job.job_id)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
        await Offering(bus, LIAR).finish(forged(record), FORGED)
        async with asyncio.timeout(30):
            while await streams.count(bus, subjects.STREAM_OFFERS, subjects.ALL_OFFERS):
                await asyncio.sleep(0.01)
    kept = await endings.get(bus, job.job_id)
    assert kept is not None
    assert kept[0] == ending
    assert await Outcasts(bus).now() == frozenset()


async def test_a_result_that_was_taken_can_not_be_spoilt(bus: Bus, tmp_path: Path) -> None:
    """Its chunks are on a subject that no device may write to; those that the device sent are gone."""
    size = 3 * 2**20
    async with small.relay(bus, tmp_path, size=size):
        job = await client.submit(bus, small.spec(seed=6))
        done = await client.wait(bus, job.job_id)
        assert isinstance(done, messages.JobDone)
        await small.record_is(bus, job.job_id, JobState.COMPLETE)
    assert done.payload.subject is not None
    assert done.payload.subject.startswith(subjects.blobs_in(subjects.lane(subjects.KEPT, None)).rstrip(">"))
    assert await streams.count(bus, subjects.STREAM_BLOBS, subjects.blobs_in("device.any")) == 0
    assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(6, size),)


async def test_a_device_hands_over_to_the_edge_through_the_customs(bus: Bus, tmp_path: Path) -> None:
    """The other order, small first: its task is held against the job before the edge sees it."""
    first, second = small.stage(0, "device", last=False), small.stage(1, "edge", last=True)
    turned = small.RELAY.model_copy(update={"stages": (first, second)})
    async with (
        small.scheduler(bus, turned),
        small.driver(bus),
        small.worker(bus, "device-1", tmp_path),
        small.worker(bus, "edge-1", tmp_path),
    ):
        job = await client.submit(bus, small.spec(seed=9))
        assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
        record = await small.record_is(bus, job.job_id, JobState.COMPLETE)
        assert (await client.fetch_result(bus, job.job_id)).images == (small.expected(9),)
        other = record.request.model_copy(update={"seed": 1})
        task = messages.StageTask(
            job_id=record.job_id, attempt=1, stage_index=1, request=other, configuration=turned, payload=None
        )
        running = await client.submit(bus, small.spec(seed=10))
        assert isinstance(await client.wait(bus, running.job_id), messages.JobDone)
        held = tmp_path / "hold-0"
        held.touch()
        third = await client.submit(bus, small.spec(seed=11))
        await small.until((tmp_path / f"held-{third.job_id}").exists)
        forgery = task.model_copy(update={"job_id": third.job_id, "payload": blobs.inline(b"latent")})
        await streams.store(
            bus, subjects.offer("device", LIAR.name, third.job_id, "task"), codec.encode(forgery, b"latent")
        )
        await until_cut_off(bus)
        assert await streams.count(bus, subjects.work_stream("edge"), subjects.work_stream_subjects("edge")) == 0
        held.unlink()
        assert isinstance(await client.wait(bus, third.job_id), messages.JobDone)
    assert (await client.fetch_result(bus, third.job_id)).images == (small.expected(11),)
