"""What nobody knows of any more goes: a message that was held up on its way may arrive when its job is over or gone.

Latents are kept by those who work, and dropped by those who end a job; what comes later is found here, by looking.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from rise_contracts import errors, messages, subjects
from rise_contracts.records import JobRecord
from rise_runtime import endings, streams
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.fences import Fences
from rise_runtime.jobs import Jobs

log = logging.getLogger(__name__)

FORGET_S: Final = 60.0
_BUCKETS: Final = (subjects.KV_RESULTS, subjects.KV_FENCES, subjects.KV_JOBS)
_AGAIN_S: Final = 0.5
NO_JOB: Final = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A subject with bytes of a job, or that of all their `chunks`. `attempt` is whose they are; `result`: pictures,
    which outlive their job's end."""

    stream: str
    subject: str
    job_id: str
    attempt: int
    result: bool = False
    chunks: bool = False


async def run_sweep(
    bus: Bus, every_s: float, leads: Callable[[], bool] = lambda: True, forget_s: float = FORGET_S
) -> None:
    """Sweep every `every_s` seconds until cancelled, and when the server is back, while `leads` says so. After
    `forget_s` the marks of removed jobs go, so that of a platform without jobs nothing is left on the disk."""
    sweep, back = _Sweep(bus, forget_s), asyncio.Event()
    stop_listening, pause_s = bus.on_reconnect(back.set), every_s
    try:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await back.wait()
            back.clear()
            done = not leads() or await sweep.once()
            pause_s = every_s if done else min(_AGAIN_S, every_s)
    finally:
        stop_listening()


class _Sweep:
    """What one sweep learns for the next: results that were found to be their jobs' own, fences that have a job."""

    def __init__(self, bus: Bus, forget_s: float) -> None:
        self._bus, self._forget_s = bus, forget_s
        self._jobs, self._fences = Jobs(bus), Fences(bus)
        self._results: set[str] = set()
        self._fenced: set[tuple[str, int]] = set()

    async def once(self) -> bool:
        """False where the server is not ready for some of it."""
        # First: a server that was killed may have found again what had been dropped, and that is no job.
        parts: list[Callable[[], Awaitable[None]]] = [
            *(partial(Bucket(self._bus, name).forget, self._forget_s) for name in _BUCKETS),
            partial(self._fences.sweep, self._jobs.is_there, self._fenced),
            self._bytes,
        ]
        done = True
        for part in parts:
            try:
                await part()
            except errors.RiseError as error:
                log.info("the sweep has to wait: %s", error)
                done = False
        return done

    async def _bytes(self) -> None:
        """Messages are listed before records are read: one whose record is not there then is of a job that was
        removed, and of none that is only just accepted."""
        bus, jobs = self._bus, self._jobs
        listed = await _listed(bus)
        self._results &= {kept.subject for kept in listed}
        found = [kept for kept in listed if kept.subject not in self._results]
        held = {job_id: await jobs.get(job_id) for job_id in {kept.job_id for kept in found} - {NO_JOB}}
        records = {job_id: each.record for job_id, each in held.items() if each is not None}
        unread = {job_id for job_id in held.keys() - records.keys() if await jobs.is_there(job_id)}
        for kept in orphans([each for each in found if each.job_id not in unread], records):
            if not (kept.result and kept.job_id in records and await self._may_stay(kept)):
                log.info("job %s: %s is of no use any more, and goes", kept.job_id, kept.subject)
                await streams.purge(bus, kept.stream, f"{kept.subject}.*" if kept.chunks else kept.subject)

    async def _may_stay(self, kept: Kept) -> bool:
        """Whether these are the pictures of the job's own ending. A server that is behind may not know of it: pictures
        go by what is known, and later."""
        ended = await endings.get(self._bus, kept.job_id)
        if ended is None:
            return True
        own = isinstance(ended[0], messages.JobDone) and ended[0].payload.subject == kept.subject
        if own:
            self._results.add(kept.subject)
        return own


async def _listed(bus: Bus) -> list[Kept]:
    streams_of = ((subjects.STREAM_BLOBS, subjects.ALL_BLOBS), (subjects.STREAM_CHECKPOINTS, subjects.ALL_CHECKPOINTS))
    names = [(stream, name) for stream, every in streams_of for name in await streams.subjects(bus, stream, every)]
    return list(dict.fromkeys(read(*each) for each in names if subjects.is_one(each[1])))  # chunks of one are one


def read(stream: str, subject: str) -> Kept:
    """What a subject of chunks, or of a checkpoint, says of itself. A device may write what it likes below its lane:
    what is no such subject is of no job."""
    tokens = subject.split(".")
    chunks = stream == subjects.STREAM_BLOBS
    job, at, length = (5, 7, 10) if chunks else (4, 5, 7)
    if len(tokens) != length or not (tokens[at].isascii() and tokens[at].isdecimal()):
        return Kept(stream, subject, NO_JOB, 0)
    whole = subject.rpartition(".")[0] if chunks else subject
    return Kept(stream, whole, tokens[job], int(tokens[at][:9]), chunks and tokens[6] == "result", chunks)


def orphans(found: Iterable[Kept], records: Mapping[str, JobRecord]) -> list[Kept]:
    """What is of a job that is over or gone, or of an attempt before the present one. Results among it may be the
    job's own."""
    return [kept for kept in found if _is_over(kept, records.get(kept.job_id))]


def _is_over(kept: Kept, record: JobRecord | None) -> bool:
    return record is None or record.finished or kept.attempt < record.attempt
