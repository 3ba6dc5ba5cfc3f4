"""What the platform keeps on the bus, and making it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

from rise_contracts import errors, subjects
from rise_runtime import streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.pulls import Consumer

log = logging.getLogger(__name__)

_DAY: Final = 86_400.0
KEEP_JOBS_S: Final = 7 * _DAY
"""Records and results of jobs without `ttlSecondsAfterFinished` go after this time."""
KEEP_CHECKPOINTS_S: Final = 3600.0
KEEP_AUDITS_S: Final = 30 * _DAY
"""They are few, and what they say of an arm is a mean."""
CHECKPOINT_BYTES: Final = 256 * 2**20
"""What all checkpoints in messages may take; the server sets it aside. The oldest make room for new ones."""
OFFER_BYTES: Final = 256 * 2**20
"""What may lie there of what devices offer; a device that finds it full tries again."""
ACK_WAIT_S: Final = 3.0
"""A worker that has not said for this long that it is still at its task has lost it. It says so four times as often:
three words have to be lost, or a process to stand still for as long, before a task is begun twice, to the same effect.
Of the 5 s in which a job goes on after a death this is the most; the rest is for the steps since the checkpoint."""
MAX_DELIVER: Final = 5
"""A task that was started this often and never finished is given up by the worker that gets it next."""

_AGAIN_S: Final = 0.5
_OWN_QUEUE_IDLE_S: Final = 3600.0


async def ensure(bus: Bus) -> None:
    """Make every stream and bucket but the pools' queues. May be called by every process, at any time."""
    await asyncio.gather(
        streams.ensure(bus, subjects.STREAM_EVENTS, (subjects.ALL_EVENTS,), max_age_s=_DAY),
        streams.ensure(bus, subjects.STREAM_OUTCOMES, (subjects.OUTCOMES,), max_age_s=30 * _DAY),
        streams.ensure(bus, subjects.STREAM_DEAD, (subjects.ALL_DEAD,), max_age_s=30 * _DAY),
        streams.ensure(
            bus,
            subjects.STREAM_BLOBS,
            (subjects.ALL_BLOBS,),
            max_age_s=KEEP_JOBS_S,
            extra={"max_msg_size": subjects.CHUNK + subjects.CHUNK_OVERHEAD},
        ),
        streams.ensure(
            bus,
            subjects.STREAM_CHECKPOINTS,
            (subjects.ALL_CHECKPOINTS,),
            max_age_s=KEEP_CHECKPOINTS_S,
            extra={"max_msgs_per_subject": 1, "max_bytes": CHECKPOINT_BYTES, "discard": "old"},
        ),
        streams.ensure(
            bus,
            subjects.STREAM_OFFERS,
            (subjects.ALL_OFFERS,),
            retention="workqueue",
            extra={"max_bytes": OFFER_BYTES, "max_age": 0},
        ),
        Bucket(bus, subjects.KV_JOBS).ensure(max_age_s=KEEP_JOBS_S),
        Bucket(bus, subjects.KV_FENCES).ensure(max_age_s=KEEP_JOBS_S),
        Bucket(bus, subjects.KV_OUTCASTS).ensure(max_age_s=subjects.OUTCAST_S),
        Bucket(bus, subjects.KV_RESULTS).ensure(max_age_s=KEEP_JOBS_S),
        # On disk as well: a stream in memory would be gone after a restart of the server, and its watchers with it.
        Bucket(bus, subjects.KV_WORKERS).ensure(max_age_s=subjects.WORKER_TTL_S),
        Bucket(bus, subjects.KV_SCHEDULER).ensure(),
        Bucket(bus, subjects.KV_DECISIONS).ensure(max_age_s=KEEP_JOBS_S),
        Bucket(bus, subjects.KV_FAMILIES).ensure(),
        Bucket(bus, subjects.KV_FORGOTTEN).ensure(),
        Bucket(bus, subjects.KV_AUDITS).ensure(max_age_s=KEEP_AUDITS_S),
    )


async def ensure_pool(bus: Bus, pool: str) -> None:
    """Make a pool's work queue. A task leaves it when it is acknowledged, and at no other time."""
    await streams.ensure(bus, subjects.work_stream(pool), (subjects.work_stream_subjects(pool),), retention="workqueue")


def queue(bus: Bus, pool: str, worker: str | None, *, ack_wait_s: float = ACK_WAIT_S, made: bool = True) -> Consumer:
    """What takes the tasks of a lane: those for any worker of the pool (`worker` None), or for one. Not yet started;
    `made` as in `Consumer`."""
    return Consumer(
        bus,
        subjects.work_stream(pool),
        (subjects.work_filter(pool, worker),),
        durable=subjects.work_durable(worker),
        ack_wait_s=ack_wait_s,
        inactive_s=_OWN_QUEUE_IDLE_S if worker is not None else 0,
        made=made,
    )


async def until_made(bus: Bus, *buckets: str) -> None:
    """Wait until somebody who may has made it: `buckets` are the last that `ensure` makes of those that the caller may
    read, here those of a device."""
    last = buckets or (subjects.KV_FAMILIES, subjects.KV_FENCES)
    while not bus.closed.is_set():
        try:
            await asyncio.gather(*(Bucket(bus, name).get("any") for name in last))
        except (errors.NotFound, errors.Waited, errors.BusUnavailable):
            await asyncio.sleep(_AGAIN_S)
        else:
            return


@contextlib.asynccontextmanager
async def kept(bus: Bus, *pools: str) -> AsyncIterator[None]:
    """`ensure`, now and after every reconnection: the server that comes back may have an empty store."""
    running: set[asyncio.Task[None]] = set()

    async def make() -> None:
        await asyncio.gather(ensure(bus), *(ensure_pool(bus, pool) for pool in pools))

    async def make_again() -> None:
        while not bus.closed.is_set():
            try:
                await make()
            except errors.RiseError as error:
                log.warning("the streams could not be looked after, trying again: %s", error)
                await asyncio.sleep(_AGAIN_S)
            else:
                return

    def on_reconnect() -> None:
        task = asyncio.create_task(make_again())
        running.add(task)
        task.add_done_callback(running.discard)

    await make()
    remove = bus.on_reconnect(on_reconnect)
    try:
        yield
    finally:
        remove()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
