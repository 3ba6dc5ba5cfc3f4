"""What a front door does: submit, watch, fetch, cancel, list. No front door talks to the bus in another way.

async with connect(url, token) as bus:
    job = await submit(bus, spec)
    async for event in watch(bus, job.job_id): ...
    result = await fetch_result(bus, job.job_id)
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from rise_contracts import codec, errors, messages, subjects
from rise_contracts.records import JobRecord
from rise_contracts.resources import RelayJobSpec
from rise_runtime import endings, layout, plan, streams
from rise_runtime.bus import Bus, Incoming, connect, open_bus
from rise_runtime.heartbeat import Workers
from rise_runtime.jobs import Jobs
from rise_runtime.pulls import Consumer

__all__ = [
    "Result",
    "cancel",
    "connect",
    "fetch_result",
    "get_job",
    "id_of",
    "list_jobs",
    "list_workers",
    "open_bus",
    "remove",
    "report_quality",
    "resume",
    "set_suspend",
    "submit",
    "wait",
    "watch",
    "watch_job",
]

_LOOK_S = 2.0


@dataclass(frozen=True, slots=True)
class Result:
    """A job's pictures as PNG files, and what is known about them."""

    done: messages.JobDone
    images: tuple[bytes, ...]


async def submit(
    bus: Bus, spec: RelayJobSpec, *, name: str = "job", preview: bool = False, now: float | None = None
) -> JobRecord:
    """Accept a job and return its record; a driver takes it from there.

    With an idempotency key, the same spec gives the job that is there already, whatever became of it and whatever its
    name is, and another spec raises IdempotencyConflict. Raises PayloadTooLarge, BusUnavailable, NotFound where no
    platform is up.
    """
    key = spec.idempotency_key
    job_id = f"{name[:30].rstrip('-')}-{secrets.token_hex(5)}" if key is None else id_of(key)
    seed = spec.seed if spec.seed is not None else secrets.randbelow(2**63)
    accepted_at = time.time() if now is None else now
    request = messages.JobRequest(job_id=job_id, spec=spec, seed=seed, accepted_at=accepted_at, preview=preview)
    held = await Jobs(bus).create(JobRecord(request=request))
    resumed = spec.model_copy(update={"suspend": False})
    if held.record.request.spec not in (spec, resumed):
        raise errors.IdempotencyConflict(key or "", job_id)
    return held.record


def id_of(idempotency_key: str) -> str:
    """The id of the job that was, or will be, submitted with this key."""
    return f"job-{hashlib.sha256(idempotency_key.encode()).hexdigest()[:24]}"


async def get_job(bus: Bus, job_id: str) -> JobRecord:
    """The job's record, its ending included even where no driver has taken note of it yet. Raises NotFound."""
    held = await Jobs(bus).get(job_id)
    if held is None:
        raise errors.NotFound("job", job_id, "see the known ones with: rise get")
    if held.record.finished:
        return held.record
    ended = await endings.get(bus, job_id)
    return held.record if ended is None else plan.concluded(held.record, ended[0])


async def list_jobs(bus: Bus) -> list[JobRecord]:
    """All jobs there are, oldest first."""
    return await Jobs(bus).all()


async def list_workers(bus: Bus) -> tuple[messages.Heartbeat, ...]:
    """The workers that are alive."""
    return await Workers(bus).now()


async def cancel(bus: Bus, job_id: str) -> JobRecord:
    """End the job as Cancelled unless it has ended; its record. It stops within one step. Raises NotFound."""
    held = await Jobs(bus).get(job_id)
    if held is None:
        raise errors.NotFound("job", job_id, "see the known ones with: rise get")
    if held.record.finished:
        return held.record
    ending = messages.JobCancelled(job_id=job_id, attempt=held.record.attempt, at=time.time())
    kept = await endings.keep(bus, ending)
    if not kept.won:
        return plan.concluded(held.record, kept.ending)  # it had ended: its driver sees to the rest
    settled = await endings.settle(bus, held, kept.ending)
    return settled.record if settled is not None else plan.concluded(held.record, kept.ending)


async def resume(bus: Bus, job_id: str) -> JobRecord:
    """Let a suspended job run. Raises NotFound."""
    return await set_suspend(bus, job_id, suspend=False)


async def set_suspend(bus: Bus, job_id: str, suspend: bool) -> JobRecord:
    """Put a job aside, under way or not, or let it run. One that has ended stays as it is. Raises NotFound."""

    def change(record: JobRecord) -> JobRecord:
        if record.finished:
            return record
        spec = record.request.spec.model_copy(update={"suspend": suspend})
        return record.model_copy(update={"request": record.request.model_copy(update={"spec": spec})})

    held = await Jobs(bus).change(job_id, change)
    if held is None:
        raise errors.NotFound("job", job_id, "see the known ones with: rise get")
    return held.record


async def fetch_result(bus: Bus, job_id: str) -> Result:
    """The pictures, each checked against its digest.

    Raises JobEndedBadly, Cancelled, NotFound (no such job, or no result yet), HandoffRefused where bytes are damaged.
    """
    done, behind = await _done(bus, job_id)
    return Result(done, await endings.pictures(bus, done, behind))


async def _done(bus: Bus, job_id: str) -> tuple[messages.JobDone, bytes]:
    """How a job ended that ended well, and the bytes behind it. Raises JobEndedBadly, Cancelled, NotFound."""
    ended = await endings.get(bus, job_id)
    if ended is None:
        record = await get_job(bus, job_id)
        ended = await endings.known(bus, job_id) if record.finished else None
    if ended is None:
        raise errors.NotFound("result", job_id, f"the job is {record.state}; wait for it with: rise watch {job_id}")
    ending, behind = ended
    if isinstance(ending, messages.JobFailed):
        raise errors.JobEndedBadly(job_id, ending.reason, ending.message)
    if isinstance(ending, messages.JobCancelled):
        raise errors.Cancelled(job_id)
    return ending, behind


async def wait(bus: Bus, job_id: str) -> messages.Ending:
    """How the job ended, as soon as it has."""
    async for event, _ in watch(bus, job_id):
        if isinstance(event, messages.JobDone | messages.JobFailed | messages.JobCancelled):
            return event
    raise errors.NotFound("job", job_id)


async def watch(bus: Bus, job_id: str) -> AsyncIterator[tuple[messages.Event, bytes]]:
    """Every event of the job from its beginning, with the bytes behind it (a preview, mostly none).

    Ends after the job's ending. Progress is passed on as it comes and not repeated. Raises NotFound.
    """
    queue: asyncio.Queue[tuple[messages.Event, bytes]] = asyncio.Queue()

    def on_progress(message: Incoming) -> None:
        queue.put_nowait(codec.decode_event(message.data))

    progress = await bus.subscribe(subjects.progress(job_id), on_progress)
    following = asyncio.create_task(_follow(bus, job_id, queue))
    try:
        await get_job(bus, job_id)
        while True:
            event, behind = await _next_event(bus, job_id, queue, following)
            yield event, behind
            if isinstance(event, messages.JobDone | messages.JobFailed | messages.JobCancelled):
                return
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError, errors.RiseError):
            await following
        await progress.stop()


async def watch_job(bus: Bus, job_id: str) -> AsyncIterator[JobRecord]:
    """The job's record, now and after each change; ends with the final one, or when the job is removed."""
    async for _, held in Jobs(bus).watch(job_id):
        if held is None:
            return
        yield held.record
        if held.record.finished:
            return


async def remove(bus: Bus, job_id: str) -> None:
    """Forget a finished job and its result. Raises Busy while it is not finished."""
    record = await get_job(bus, job_id)
    if not record.finished:
        raise errors.Busy(f"job {job_id} is {record.state}; cancel it first with: rise cancel {job_id}")
    await endings.remove_job(bus, job_id)


async def report_quality(
    bus: Bus, record: JobRecord, done: messages.JobDone, quality: float, *, judged_by: str
) -> None:
    """Tell the scheduler how good the job's pictures are (0 … 1), as soon as somebody has judged them, and who has.

    It has learned from the job's latency by then, with the quality it expected; this corrects it.
    """
    outcome = plan.outcome(record, done)
    if outcome is not None:
        judged = outcome.model_copy(update={"quality": quality, "judged_by": judged_by})
        await streams.store(bus, subjects.OUTCOMES, codec.encode(judged), msg_id=f"{judged.decision_id}.quality")


async def report_act(bus: Bus, job_id: str, act: messages.Act) -> JobRecord:
    """Tell the scheduler what somebody did with the job's pictures; the job's record. Raises what `fetch_result` does
    where there are none."""
    done, _ = await _done(bus, job_id)
    record = await get_job(bus, job_id)
    await report_quality(bus, record, done, messages.ACT_QUALITY[act], judged_by="user")
    return record


async def ensure_platform(bus: Bus) -> None:
    """Make what the platform keeps on the bus."""
    await layout.ensure(bus)


async def _follow(bus: Bus, job_id: str, queue: asyncio.Queue[tuple[messages.Event, bytes]]) -> None:
    consumer = Consumer(bus, subjects.STREAM_EVENTS, (subjects.events_of_job(job_id),), batch=64)
    await consumer.start()
    try:
        while True:
            delivery = await consumer.next()
            if delivery is not None:
                queue.put_nowait(codec.decode_event(delivery.data))
    finally:
        await consumer.stop()


async def _next_event(
    bus: Bus, job_id: str, queue: asyncio.Queue[tuple[messages.Event, bytes]], following: asyncio.Task[None]
) -> tuple[messages.Event, bytes]:
    """The next event. In silence the ending is looked up: events are kept for a day only, endings longer."""
    while True:
        try:
            async with asyncio.timeout(_LOOK_S):
                return await queue.get()
        except TimeoutError:
            if following.done():
                following.result()
            with contextlib.suppress(errors.Busy, errors.Waited, errors.BusUnavailable):
                ended = await endings.get(bus, job_id)
                if ended is not None:
                    return ended[0], b""
