"""Of several servers any answers a read, also one that is behind: what was just refused because of another's writing
may not be there yet.

A stand-in answers reads here in place of the server, which is real for all else, and is behind for as long as it is
told. No cluster is, when a test wants it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from rise_contracts import errors, messages, subjects
from rise_contracts.records import JobRecord, JobState
from rise_contracts.resources import RelayJobSpec
from rise_runtime import blobs, client, endings, layout, plan, streams, tasks
from rise_runtime.buckets import Bucket, Entry
from rise_runtime.bus import Bus, Incoming
from rise_runtime.driving import Hands
from rise_runtime.fences import Fences
from rise_runtime.jobs import Held, Jobs
from rise_runtime.sweeping import run_sweep
from tests.bus.runtime import small

LOOKS = 6


class Replica:
    """Answers reads of a stream: `behind` of them as it was at the beginning, all others as it is."""

    def __init__(self, bus: Bus, stream: str, behind: int) -> None:
        self._bus, self._stream, self.behind = bus, stream, behind
        self._address = f"$JS.API.DIRECT.GET.{self._stream}."
        self._old: dict[str, dict[str, str]] = {}

    @contextlib.asynccontextmanager
    async def answering(self) -> AsyncIterator[Replica]:
        config = (await streams.api(self._bus, f"STREAM.INFO.{self._stream}"))["config"]
        await streams.api(self._bus, f"STREAM.UPDATE.{self._stream}", {**config, "allow_direct": False})
        listening = await self._bus.subscribe(f"{self._address}>", self._answer)
        await self._bus.barrier()
        try:
            yield self
        finally:
            await listening.stop()

    async def remember(self, key: str) -> None:
        """Say what is there now while it is behind, and not that nothing is there."""
        subject = f"$KV.{self._stream.removeprefix('KV_')}.{key}"
        self._old[subject] = await self._newest(subject)

    async def _answer(self, asked: Incoming) -> None:
        subject = asked.subject.removeprefix(self._address)
        self.behind -= 1
        found = self._old.get(subject, {}) if self.behind >= 0 else await self._newest(subject)
        if not found:
            await self._bus.publish(asked.reply, headers={"Status": "404"})
            return
        told = {"Nats-Subject": subject, "Nats-Sequence": str(found["seq"])}
        await self._bus.publish(asked.reply, base64.b64decode(found.get("data", "")), headers=_headers(found) | told)

    async def _newest(self, subject: str) -> dict[str, str]:
        """The leader's word; nothing where nothing is there."""
        reply = await self._bus.request(
            f"$JS.API.STREAM.MSG.GET.{self._stream}", json.dumps({"last_by_subj": subject}).encode()
        )
        found: dict[str, str] = json.loads(reply.data).get("message", {})
        return found


def _headers(message: dict[str, str]) -> dict[str, str]:
    lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")
    return dict(line.split(": ", 1) for line in lines if ": " in line)


@pytest.fixture(autouse=True)
async def _layout(bus: Bus) -> None:
    await layout.ensure(bus)


def behind(bus: Bus, bucket: str) -> contextlib.AbstractAsyncContextManager[Replica]:
    return Replica(bus, f"KV_{bucket}", LOOKS).answering()


def cancelled(at: float) -> messages.JobCancelled:
    return messages.JobCancelled(job_id="job-1", attempt=1, at=at)


async def test_the_ending_that_was_first_is_waited_for(bus: Bus) -> None:
    first = cancelled(1.0)
    assert (await endings.keep(bus, first)).won
    async with behind(bus, subjects.KV_RESULTS) as replica:
        assert await endings.keep(bus, cancelled(2.0)) == endings.Kept(first, won=False)
        assert replica.behind < 0, "it was asked when it was behind no more"


async def test_a_replica_that_stays_behind_is_no_word_that_the_job_was_removed(bus: Bus) -> None:
    await endings.keep(bus, cancelled(1.0))
    async with behind(bus, subjects.KV_RESULTS) as replica:
        replica.behind = 1_000_000
        with pytest.raises(errors.Busy, match="rise_results job-1 is there, and cannot be read yet"):
            await endings.keep(bus, cancelled(2.0))


async def test_where_an_ending_was_removed_another_is_kept(bus: Bus) -> None:
    bucket = Bucket(bus, subjects.KV_RESULTS)
    await endings.keep(bus, cancelled(1.0))
    async with behind(bus, subjects.KV_RESULTS) as replica:
        await replica.remember("job-1")
        replica.behind = 0
        await bucket.remove("job-1")
        assert (await endings.keep(bus, cancelled(2.0))).won


async def test_a_mark_that_is_no_more_the_last_word_is_not_taken_for_it(bus: Bus) -> None:
    bucket = Bucket(bus, "test")
    await bucket.ensure()
    await bucket.put("a", b"1")
    await bucket.remove("a")
    async with behind(bus, "test") as replica:
        await replica.remember("a")
        revision = await bucket.put("a", b"2")
        assert await bucket.create("a", b"3") == Entry("a", b"2", revision)


async def test_a_fence_is_raised_although_its_replica_knows_of_none(bus: Bus) -> None:
    await Fences(bus).admit("job-1", 1)
    async with behind(bus, subjects.KV_FENCES):
        await Fences(bus).admit("job-1", 2)
        assert await Fences(bus).is_current("job-1", 2)


@contextlib.asynccontextmanager
async def one_fence_behind(bus: Bus, known: bool) -> AsyncIterator[Replica]:
    """The first attempt is admitted, and the replica knows of it, or of no fence."""
    await Fences(bus).admit("job-1", 1)
    async with behind(bus, subjects.KV_FENCES) as replica:
        if known:
            await replica.remember("job-1")
        yield replica


@pytest.mark.parametrize("known", [False, True], ids=["knows of none", "knows an older one"])
async def test_a_fence_is_closed_although_its_replica(known: bool, bus: Bus) -> None:
    fences = Fences(bus)
    async with one_fence_behind(bus, known) as replica:
        if known:
            await fences.admit("job-1", 2)
        replica.behind = 1_000_000
        async with asyncio.timeout(10):
            await fences.close("job-1", 2)
        replica.behind = 0
        assert not await fences.is_current("job-1", 1)
        assert not await fences.is_current("job-1", 2)


@pytest.mark.parametrize("known", [False, True], ids=["knows of no fence", "knows an older one"])
async def test_work_is_wanted_although_the_worker_s_replica(known: bool, bus: Bus) -> None:
    """It was dropped, and missed by its driver only some ten seconds later."""
    fences = Fences(bus)
    async with one_fence_behind(bus, known) as replica:
        await fences.admit("job-1", 2)
        replica.behind = LOOKS
        assert await fences.is_current("job-1", 2)
        assert replica.behind < 0


async def test_a_record_is_changed_although_its_replica_knows_an_older_one(bus: Bus) -> None:
    jobs = Jobs(bus)
    request = messages.JobRequest(job_id="job-1", spec=RelayJobSpec(prompt="a"), seed=1, accepted_at=0.0)
    held = await jobs.create(JobRecord(request=request))
    async with behind(bus, subjects.KV_JOBS) as replica:
        await replica.remember("job-1")
        await jobs.replace(held, held.record.model_copy(update={"attempt": 2}))
        changed = await jobs.change("job-1", lambda record: record.model_copy(update={"waiting_message": "x"}))
    assert changed is not None
    assert (changed.record.attempt, changed.record.waiting_message) == (2, "x")


async def test_the_job_that_has_the_key_is_found(bus: Bus) -> None:
    jobs = Jobs(bus)
    request = messages.JobRequest(job_id="job-1", spec=RelayJobSpec(prompt="a"), seed=1, accepted_at=0.0)
    first = await jobs.create(JobRecord(request=request))
    async with behind(bus, subjects.KV_JOBS):
        assert await jobs.create(JobRecord(request=request, attempt=2)) == first


async def under_way(bus: Bus) -> tuple[Hands, Held]:
    """A job that runs, and whose work is nowhere, with the driver's hands for it."""
    jobs = Jobs(bus)
    decision = messages.Decision(id="d", job_id="job-1", arm=small.RELAY.arm, configuration=small.RELAY, policy="fixed")
    request = messages.JobRequest(job_id="job-1", spec=small.spec(), seed=1, accepted_at=1.0)
    held = await jobs.create(JobRecord(request=request, state=JobState.RUNNING, decision=decision))
    await Fences(bus).admit("job-1", 1)
    await layout.ensure_pool(bus, "edge")
    return Hands(bus, jobs, small.QUICK_DRIVER), held


async def test_a_job_whose_work_is_nowhere_gets_another_attempt(bus: Bus) -> None:
    hands, held = await under_way(bus)
    after = await hands.verify(held)
    assert after is not None
    assert (after.record.attempt, after.record.failures[0].reason) == (2, "WorkLost")


async def test_no_job_is_done_again_of_whose_end_a_replica_does_not_know(bus: Bus) -> None:
    hands, held = await under_way(bus)
    await endings.keep(bus, cancelled(2.0))
    async with behind(bus, subjects.KV_RESULTS) as replica:
        replica.behind = 1_000_000
        after = await hands.verify(held)
    assert after is not None
    assert (after.record.attempt, after.record.state) == (1, JobState.CANCELLED)


async def test_no_job_is_done_again_whose_task_a_replica_does_not_see(bus: Bus) -> None:
    hands, held = await under_way(bus)
    await tasks.send(bus, plan.head_task(held.record))
    async with Replica(bus, subjects.work_stream("edge"), 1_000_000).answering():
        assert await hands.verify(held) is None
    assert await Jobs(bus).get("job-1") == held


async def complete(bus: Bus) -> tuple[messages.JobDone, bytes]:
    """A job that is over, with pictures in chunks, and what is in them."""
    made, now = b"x" * (subjects.INLINE_LIMIT + 1), 1.0
    shelf = subjects.shelf(subjects.lane(subjects.KEPT, None), None)
    ref, _ = await blobs.send(bus, shelf, "job-1", "result", 1, made)
    image = messages.ImageRef(nbytes=len(made), sha256=ref.sha256, width=1, height=1)
    done = messages.JobDone(
        job_id="job-1",
        attempt=1,
        at=now,
        worker="device-1",
        arm="edge-only",
        seed=1,
        digest=ref.sha256,
        nbytes=len(made),
        images=(image,),
        payload=ref,
        stages=(),
    )
    await endings.keep(bus, done)
    request = messages.JobRequest(job_id="job-1", spec=RelayJobSpec(prompt="a"), seed=1, accepted_at=now)
    await Jobs(bus).create(JobRecord(request=request, state=JobState.COMPLETE))
    return done, made


async def test_the_pictures_of_a_job_that_is_over_are_waited_for(bus: Bus) -> None:
    _, made = await complete(bus)
    async with behind(bus, subjects.KV_RESULTS):
        assert (await client.fetch_result(bus, "job-1")).images == (made,)


@pytest.mark.parametrize("bucket", [subjects.KV_RESULTS, subjects.KV_JOBS])
async def test_the_sweep_takes_no_pictures_because_a_replica_knows_nothing(bus: Bus, bucket: str) -> None:
    done, made = await complete(bus)
    shelf = subjects.shelf(subjects.lane("device", None), "device-1")
    other, _ = await blobs.send(bus, shelf, "job-1", "result", 1, made)
    sweeping = asyncio.create_task(run_sweep(bus, 0.02))
    try:
        async with behind(bus, bucket), asyncio.timeout(30):
            while await streams.count(bus, subjects.STREAM_BLOBS, f"{other.subject}.*"):
                await asyncio.sleep(0.02)
    finally:
        sweeping.cancel()
        await asyncio.gather(sweeping, return_exceptions=True)
    assert await streams.count(bus, subjects.STREAM_BLOBS, f"{done.payload.subject}.*") == done.payload.chunks


async def test_only_a_removal_makes_a_key_gone_for_certain(bus: Bus) -> None:
    bucket = Bucket(bus, subjects.KV_RESULTS)
    assert not await bucket.is_there("job-1")
    await endings.keep(bus, cancelled(1.0))
    async with behind(bus, subjects.KV_RESULTS) as replica:
        replica.behind = 1_000_000
        assert await bucket.get("job-1") is None
        assert await bucket.is_there("job-1")
        await bucket.remove("job-1")
        assert not await bucket.is_there("job-1")
