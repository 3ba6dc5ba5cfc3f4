"""The fences: which attempt of a job is wanted, and whether any still is. All that a worker may read of a job.

A fence is raised before the record goes on to the next attempt, so it is never behind it: who dies in between, or
finds the record changed meanwhile, leaves a job whose work is dropped, which its driver notices, and not one that two
attempts work for.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from rise_contracts import codec, messages, subjects
from rise_runtime.buckets import Bucket, Entry
from rise_runtime.bus import Bus
from rise_runtime.streams import WrongRevision

log = logging.getLogger(__name__)

_BEHIND_S: Final = 1.0
"""A worker waits so long over a job that is gone."""


class Fences:
    """All fences of one bus."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = Bucket(bus, subjects.KV_FENCES)

    async def admit(self, job_id: str, attempt: int) -> None:
        """From now on `attempt` is wanted and none before it. A fence that is farther stays as it is."""
        fence = messages.Fence(attempt=attempt)
        there = await self._bucket.create(job_id, codec.encode(fence))
        if not isinstance(there, int):
            await self._advance(there, fence)

    async def close(self, job_id: str, attempt: int) -> None:
        """Nothing is wanted any more, of this attempt or another."""
        entry = await self._bucket.get(job_id) or await self._bucket.certain(job_id)
        await self._advance(entry, messages.Fence(attempt=attempt, over=True))

    async def is_current(self, job_id: str, attempt: int, *, patience: float = 0.0) -> bool:
        """Whether work for `attempt` is still wanted: old attempts write nothing.

        A task comes after its fence. Where that is not there, or is not as far, the job is gone, or the server that
        answered is behind: it is asked again for a moment, for a worker may not ask the leader.
        """

        def as_far(entry: Entry | None) -> bool:
            fence = _decoded(entry)
            return fence is not None and (fence.over or fence.attempt >= attempt)

        fence = _decoded(await self._bucket.known(job_id, as_far, patience=patience, behind_s=_BEHIND_S))
        return fence is not None and not fence.over and fence.attempt == attempt

    async def is_past(self, job_id: str, attempt: int) -> bool:
        """Whether a later attempt than this one is wanted: nothing that is done for it counts any more."""
        fence = _decoded(await self._bucket.get(job_id))
        return fence is not None and not fence.over and fence.attempt > attempt

    async def remove(self, job_id: str) -> None:
        await self._bucket.remove(job_id)

    async def sweep(self, is_there: Callable[[str], Awaitable[bool]], known: set[tuple[str, int]]) -> None:
        """Remove those of jobs that are not there: a driver that was frozen may admit what was removed meanwhile.

        A job has its record before its fence, so fences are listed first. `known` are those that were right before,
        with their revisions: each is looked at once.
        """
        found = {(entry.key, entry.revision) for entry in await self._bucket.entries()}
        known &= found
        for job_id, revision in sorted(found - known):
            if await is_there(job_id):
                known.add((job_id, revision))
                continue
            with suppress(WrongRevision):  # the job came again
                await self._bucket.remove(job_id, revision)
                log.info("job %s: a fence without a job goes", job_id)

    async def _advance(self, entry: Entry | None, wanted: messages.Fence) -> None:
        """Write `wanted` over a fence that is not as far. One that is gone stays gone: the job was removed."""
        while entry is not None:
            there = codec.decode(messages.Fence, entry.data)
            if (there.over, there.attempt) >= (wanted.over, wanted.attempt):
                return
            try:
                await self._bucket.update(entry.key, codec.encode(wanted), entry.revision)
            except WrongRevision:
                entry = await self._bucket.certain(entry.key)
            else:
                return


def _decoded(entry: Entry | None) -> messages.Fence | None:
    return None if entry is None else codec.decode(messages.Fence, entry.data)
