"""Workers that lied or flooded: for a while nothing is taken from them and nothing is sent to them."""

from __future__ import annotations

import asyncio

from rise_contracts import subjects
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus


class Outcasts:
    """Those of one bus. `run` keeps it up to date; what this process adds it knows at once."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = Bucket(bus, subjects.KV_OUTCASTS)
        self._until: dict[str, float] = {}

    def __contains__(self, worker: object) -> bool:
        until = self._until.get(worker) if isinstance(worker, str) else None
        return until is not None and asyncio.get_running_loop().time() < until

    async def add(self, worker: str, why: str) -> None:
        """Cut `worker` off; `why` is for a person who looks into the bucket."""
        self._note(worker)
        await self._bucket.put(worker, why.encode())

    async def pardon(self, worker: str) -> None:
        """Take it in again, before its time is up."""
        self._until.pop(worker, None)
        await self._bucket.remove(worker)

    async def run(self) -> None:
        """Until cancelled."""
        async for entry in self._bucket.watch():
            if entry is not None and entry.value is not None:
                self._note(entry.key)
            elif entry is not None:
                self._until.pop(entry.key, None)

    async def now(self) -> frozenset[str]:
        """Their names, asked once."""
        return frozenset(entry.key for entry in await self._bucket.entries())

    def _note(self, worker: str) -> None:
        self._until[worker] = asyncio.get_running_loop().time() + subjects.OUTCAST_S
