"""When each job ended, and when it was gone, by the clock of this process: those of workers are not believed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from typing import Final

from rise_contracts import codec, errors, subjects
from rise_contracts.messages import Ending
from rise_contracts.records import JobRecord
from rise_runtime.buckets import Bucket, Entry
from rise_runtime.bus import Bus

_AGAIN_S: Final = 0.2


class Ledger:
    """Follows the bus. Times are of `time.monotonic`; those of jobs that are removed stay.

    Attributes:
        ended: when an ending was stored.
        final: when the record said so.
        gone: when the record was removed.
        seen: the endings that were stored, also of jobs that are gone.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.ended: dict[str, float] = {}
        self.final: dict[str, float] = {}
        self.gone: dict[str, float] = {}
        self.seen: dict[str, tuple[Ending, ...]] = {}
        self._changed = asyncio.Condition()

    async def until(self, times: Mapping[str, float], job_id: str, timeout: float) -> float | None:
        """When `job_id` came into `times`, as soon as it has; None where it has not within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: job_id in times)
        except TimeoutError:
            return None
        return times[job_id]

    async def until_all(self, times: Mapping[str, float], jobs: set[str], timeout: float) -> bool:
        """Whether all `jobs` came into `times` within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(lambda: jobs <= times.keys())
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Follow until cancelled, over whatever happens to the server."""
        await asyncio.gather(self._follow(subjects.KV_RESULTS), self._follow(subjects.KV_JOBS))

    async def _follow(self, bucket: str) -> None:
        while True:
            with contextlib.suppress(errors.RiseError):
                async for entry in Bucket(self._bus, bucket).watch():
                    if entry is not None:
                        await self._note(bucket, entry)
            await asyncio.sleep(_AGAIN_S)

    async def _note(self, bucket: str, entry: Entry) -> None:
        now = time.monotonic()
        async with self._changed:
            if bucket == subjects.KV_RESULTS:
                if entry.value is not None:
                    self.ended.setdefault(entry.key, now)
                    self.seen[entry.key] = (*self.seen.get(entry.key, ()), codec.decode_ending(entry.value)[0])
            elif entry.value is None:
                self.gone.setdefault(entry.key, now)
            elif codec.decode(JobRecord, entry.value).finished:
                self.final.setdefault(entry.key, now)
            self._changed.notify_all()


@contextlib.asynccontextmanager
async def followed(bus: Bus) -> AsyncIterator[Ledger]:
    """A ledger that is kept for the length of the block."""
    ledger = Ledger(bus)
    following = asyncio.create_task(ledger.run())
    try:
        yield ledger
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
