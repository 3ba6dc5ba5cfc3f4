"""One kind of knowledge in the bus' key-value store, a record per family, changed by compare-and-swap only: read, add,
write if nobody else wrote, else begin again. What is added commutes, so replicas and restarts lose nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from rise_runtime.buckets import Bucket
from rise_runtime.streams import WrongRevision
from rise_scheduler.state import StateRefused

log = logging.getLogger(__name__)

S = TypeVar("S")


class Kept(Generic[S]):
    """Records under ``kind.<family>``. Every read asks the bus, so any number of processes may have one; the same bytes
    are only not parsed again."""

    def __init__(
        self,
        bucket: Bucket,
        kind: str,
        *,
        empty: Callable[[], S],
        load: Callable[[bytes], S],
        dump: Callable[[S], bytes],
    ) -> None:
        self._bucket, self._kind = bucket, kind
        self._empty, self._load, self._dump = empty, load, dump
        self._parsed: dict[str, tuple[bytes, S]] = {}

    async def read(self, family: str) -> S:
        """What is known of ``family``; nothing where the record cannot be read (decisions go on without it)."""
        try:
            return (await self._read(family))[0]
        except StateRefused as error:
            log.warning("deciding without what was learned of %s: %s", family, error)
            return self._empty()

    async def change(self, family: str, add: Callable[[S], S]) -> S:
        """Put ``add`` to the record until nobody else was quicker; ``add`` gives back the very same value where there
        is nothing to add. Raises StateRefused where the record is of a newer release; a damaged one is set aside and
        learning begins anew."""
        while True:
            before, revision = await self._read_or_set_aside(family)
            after = add(before)
            if after is before:
                return after
            written = self._dump(after)
            try:
                await self._bucket.update(self._key(family), written, revision)
            except WrongRevision:
                continue  # another replica was first: add to what it wrote
            self._parsed[family] = written, after
            return after

    async def _read(self, family: str) -> tuple[S, int]:
        entry = await self._bucket.get(self._key(family))
        if entry is None or entry.value is None:
            return self._empty(), 0
        parsed = self._parsed.get(family)
        if parsed is None or parsed[0] != entry.value:
            parsed = self._parsed[family] = entry.value, self._load(entry.value)
        return parsed[1], entry.revision

    async def _read_or_set_aside(self, family: str) -> tuple[S, int]:
        try:
            return await self._read(family)
        except StateRefused as error:
            if error.newer:
                raise
            log.error("%s; it is set aside and learning of %s begins anew", error, family)
        entry = await self._bucket.get(self._key(family))
        if entry is None or entry.value is None:
            return self._empty(), 0
        await self._bucket.put(f"damaged.{family}.{entry.revision}", entry.value)
        return self._empty(), entry.revision

    def _key(self, family: str) -> str:
        return f"{self._kind}.{family}"
