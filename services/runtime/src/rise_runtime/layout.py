"""What the platform keeps on the bus, and making it."""

from __future__ import annotations

import asyncio
from typing import Final

from rise_contracts import subjects
from rise_runtime import streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus

_DAY: Final = 86_400.0
KEEP_JOBS_S: Final = 7 * _DAY
"""Records and results of jobs without `ttlSecondsAfterFinished` go after this time."""
ACK_WAIT_S: Final = 5.0
"""A worker that has not said for this long that it is still at its task has lost it."""
MAX_DELIVER: Final = 5
"""A task that was started this often and never finished is given up by the worker that gets it next."""


async def ensure(bus: Bus) -> None:
    """Make every stream and bucket but the pools' queues. May be called by every process, at any time."""
    await asyncio.gather(
        streams.ensure(bus, subjects.STREAM_EVENTS, (subjects.ALL_EVENTS,), max_age_s=_DAY),
        streams.ensure(bus, subjects.STREAM_OUTCOMES, (subjects.OUTCOMES,), max_age_s=30 * _DAY),
        streams.ensure(bus, subjects.STREAM_DEAD, (subjects.ALL_DEAD,), max_age_s=30 * _DAY),
        streams.ensure(bus, subjects.STREAM_BLOBS, (subjects.ALL_BLOBS,), max_age_s=KEEP_JOBS_S),
        Bucket(bus, subjects.KV_JOBS).ensure(max_age_s=KEEP_JOBS_S),
        Bucket(bus, subjects.KV_RESULTS).ensure(max_age_s=KEEP_JOBS_S),
        Bucket(bus, subjects.KV_WORKERS).ensure(max_age_s=subjects.WORKER_TTL_S, storage="memory"),
        Bucket(bus, subjects.KV_SCHEDULER).ensure(),
        Bucket(bus, subjects.KV_DECISIONS).ensure(max_age_s=KEEP_JOBS_S),
        Bucket(bus, subjects.KV_FAMILIES).ensure(),
    )


async def ensure_pool(bus: Bus, pool: str) -> None:
    """Make a pool's work queue. A task leaves it when it is acknowledged, and at no other time."""
    await streams.ensure(bus, subjects.work_stream(pool), (subjects.work_stream_subjects(pool),), retention="workqueue")
