"""How jobs ended. Whoever first stores an ending under a job's id decides it; every later one is dropped.

A result, a failure and a cancellation are rivals for the same key, which makes the terminal state of a job exactly
one, whatever dies or comes late.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from rise_contracts import codec, messages, subjects
from rise_contracts.records import JobRecord
from rise_runtime import blobs, plan, streams
from rise_runtime.buckets import Bucket, Entry
from rise_runtime.bus import Bus
from rise_runtime.fences import Fences
from rise_runtime.jobs import Held, Jobs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kept:
    """The ending that counts. `won`: it is the one that was offered here."""

    ending: messages.Ending
    won: bool


async def get(bus: Bus, job_id: str) -> tuple[messages.Ending, bytes] | None:
    """The ending and the bytes behind it, or None while the job has not ended."""
    return _decoded(await Bucket(bus, subjects.KV_RESULTS).get(job_id))


async def known(bus: Bus, job_id: str) -> tuple[messages.Ending, bytes] | None:
    """The same of a job that has ended, as its record says; see `Bucket.known`."""
    return _decoded(await Bucket(bus, subjects.KV_RESULTS).known(job_id))


async def certain(bus: Bus, job_id: str) -> tuple[messages.Ending, bytes] | None:
    """The same where None means that the job has not ended, for certain; see `Bucket.certain`."""
    return _decoded(await Bucket(bus, subjects.KV_RESULTS).certain(job_id))


def _decoded(entry: Entry | None) -> tuple[messages.Ending, bytes] | None:
    return None if entry is None else codec.decode_ending(entry.data)


async def keep(bus: Bus, ending: messages.Ending, behind: bytes = b"") -> Kept:
    """Store `ending` unless the job has one; which one it has. Raises what `Bucket.create` raises."""
    bucket = Bucket(bus, subjects.KV_RESULTS)
    there = await bucket.create(ending.job_id, codec.encode(ending, behind))
    if isinstance(there, int):
        return Kept(ending, won=True)
    first, _ = codec.decode_ending(there.data)
    # Equal means: stored by an earlier try of ours whose confirmation was lost.
    return Kept(first, won=first == ending)


async def remove_job(bus: Bus, job_id: str) -> None:
    """Take everything of a finished job away; its record last, so that a half-done removal is seen and repeated."""
    await asyncio.gather(
        Bucket(bus, subjects.KV_RESULTS).remove(job_id),
        streams.purge(bus, subjects.STREAM_BLOBS, subjects.blobs_of_job(job_id)),
        streams.purge(bus, subjects.STREAM_EVENTS, subjects.events_of_job(job_id)),
        streams.purge(bus, subjects.STREAM_OFFERS, subjects.offers_of_job(job_id)),
        streams.purge(bus, subjects.STREAM_DEAD, subjects.dead(job_id)),
        Fences(bus).remove(job_id),
    )
    await Jobs(bus).remove(job_id)


async def announce(bus: Bus, ending: messages.Ending) -> None:
    """Tell the job's followers. Announcing twice tells once."""
    msg_id = subjects.event_id(ending.job_id, ending.attempt, ending.kind, 0)
    await streams.store(bus, subjects.event(ending.job_id, ending.kind), codec.encode(ending), msg_id=msg_id)


async def settle(bus: Bus, held: Held, ending: messages.Ending, *, announced: bool = False) -> Held | None:
    """Bring the record to the ending's state, stop what still runs, drop what still waits, tell everybody.

    Every part may be done again by somebody else: the record is changed only while it is not final. `announced`: it
    is from an announcement that the ending is known.
    """
    record, straight = held.record, plan.went_straight(held.record, ending)
    settled = await Jobs(bus).change(record.job_id, lambda current: plan.concluded(current, ending), seen=held)
    parts = [drop_checkpoints(bus, record.job_id), Fences(bus).close(record.job_id, record.attempt)]
    if not announced:
        parts.append(announce(bus, ending))
    if not straight:
        parts.append(stop_work(bus, record, record.attempt))
    if not straight or _has_chunks(bus, ending):
        parts.append(drop_handoffs(bus, record))
    await asyncio.gather(*parts)
    return settled


async def stop_work(bus: Bus, record: JobRecord, attempt: int) -> None:
    """Take the attempt's tasks out of the queues, and stop the workers that are at them."""
    pools = {stage.pool for stage in record.planned}
    cancel = messages.Cancel(job_id=record.job_id, attempt=attempt)
    await bus.publish(subjects.cancel(record.job_id), codec.encode(cancel))
    for pool in pools:
        await streams.purge(bus, subjects.work_stream(pool), subjects.work_of_job(pool, record.job_id, attempt))


async def drop_handoffs(bus: Bus, record: JobRecord) -> None:
    """Free the room that handoffs in chunks took."""
    if len(record.planned) > 1:
        await streams.purge(bus, subjects.STREAM_BLOBS, subjects.blobs_of_job(record.job_id, "handoff"))


async def drop_checkpoints(bus: Bus, job_id: str) -> None:
    """Free the room of all checkpoints of a job that has ended."""
    await asyncio.gather(
        streams.purge(bus, subjects.STREAM_CHECKPOINTS, subjects.checkpoints_of_job(job_id)),
        streams.purge(bus, subjects.STREAM_BLOBS, subjects.blobs_of_job(job_id, "checkpoint")),
    )


def _has_chunks(bus: Bus, ending: messages.Ending) -> bool:
    """Whether a handoff of the job was too large for one message."""
    reports = ending.stages if isinstance(ending, messages.JobDone) else ()
    return any(report.handoff_bytes > blobs.inline_limit(bus) for report in reports)


async def pictures(bus: Bus, done: messages.JobDone, behind: bytes) -> tuple[bytes, ...]:
    """The result's PNG files, each checked against its digest."""
    payload = await blobs.receive(bus, done.payload, behind)
    found: list[bytes] = []
    for image in done.images:
        png, payload = payload[: image.nbytes], payload[image.nbytes :]
        ref = messages.PayloadRef(kind="inline", nbytes=image.nbytes, sha256=image.sha256)
        found.append(await blobs.receive(bus, ref, png))
    return tuple(found)
