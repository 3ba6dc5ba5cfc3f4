"""The jobs' records in the bucket: created once, replaced by compare-and-swap."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from rise_contracts import codec, errors, subjects
from rise_contracts.records import JobRecord
from rise_runtime.buckets import Bucket, Entry
from rise_runtime.bus import Bus
from rise_runtime.streams import WrongRevision

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """A record as it was at a revision."""

    record: JobRecord
    revision: int


class Jobs:
    """All records of one bus."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = Bucket(bus, subjects.KV_JOBS)

    async def get(self, job_id: str, *, patience: float = 0.0) -> Held | None:
        entry = await self._bucket.get(job_id, patience=patience)
        return None if entry is None else _held(entry)

    async def is_there(self, job_id: str) -> bool:
        """Whether there is a record for certain; see `Bucket.is_there`."""
        return await self._bucket.is_there(job_id)

    async def create(self, record: JobRecord) -> Held:
        """The stored record, or that of the job of this id which is there already. Raises what `Bucket.create` does."""
        there = await self._bucket.create(record.job_id, codec.encode(record))
        if isinstance(there, int):
            return Held(record, there)
        return Held(codec.decode(JobRecord, there.data), there.revision)

    async def replace(self, held: Held, record: JobRecord) -> Held:
        """Write `record` over `held`. Raises WrongRevision where somebody else did."""
        revision = await self._bucket.update(record.job_id, codec.encode(record), held.revision)
        return Held(record, revision)

    async def change(
        self, job_id: str, change: Callable[[JobRecord], JobRecord], *, seen: Held | None = None
    ) -> Held | None:
        """Apply `change` to whatever is there, as often as it takes; None where the job is gone. `seen` is what is
        there if nobody has written since."""
        held = seen or await self.get(job_id)
        while held is not None:
            record = change(held.record)
            if record == held.record:
                return held
            try:
                return await self.replace(held, record)
            except WrongRevision:
                held = _held(await self._bucket.instead(job_id, held.revision))
        return None

    async def remove(self, job_id: str) -> None:
        await self._bucket.remove(job_id)

    async def all(self) -> list[JobRecord]:
        """Every record there is, oldest first."""
        entries = await self._bucket.entries()
        records = [held.record for entry in entries if (held := _readable(entry)) is not None]
        return sorted(records, key=lambda record: record.request.accepted_at)

    async def watch(
        self,
        job_id: str | None = None,
        *,
        known: Callable[[str], int] = lambda _: 0,
        caught_up: Callable[[], None] = lambda: None,
    ) -> AsyncIterator[tuple[str, Held | None]]:
        """Every record there is and then every change, as (job id, record; None when it was removed).

        `known` gives the revision that the caller has of a job: older ones, and its own, are not even read.
        `caught_up` is called once, when every record that was there has been given.
        """
        async for entry in self._bucket.watch(job_id or ">"):
            if entry is None:
                caught_up()
                continue
            if entry.value is not None and entry.revision <= known(entry.key):
                continue
            held = _readable(entry)
            if held is not None or entry.value is None:
                yield entry.key, held


def _readable(entry: Entry) -> Held | None:
    """The record, or None where it was removed, or where one that nobody here can read must not stop the others."""
    try:
        return _held(entry)
    except errors.InvalidInput as error:
        log.warning("job %s: its record is not understood: %s", entry.key, error)
        return None


def _held(entry: Entry) -> Held | None:
    return None if entry.value is None else Held(codec.decode(JobRecord, entry.value), entry.revision)
