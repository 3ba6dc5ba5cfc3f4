"""One kind of knowledge in the bus' key-value store, a record per family, changed by compare-and-swap only: read, add,
write if nobody else wrote, else begin again. What is added commutes, so replicas and restarts lose nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from rise_runtime.buckets import Bucket, Entry
from rise_runtime.mirrors import Mirror
from rise_runtime.streams import WrongRevision
from rise_scheduler.state import StateRefused

log = logging.getLogger(__name__)

S = TypeVar("S")


class Kept(Generic[S]):
    """Records under ``kind.<family>``, of which any number of processes may have one. Decisions read what was heard of
    them while ``run`` runs; changes ask the bus, and begin again where somebody else was first. The same bytes are not
    parsed again."""

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
        self._mirror = Mirror(bucket, f"{kind}.>")
        self._empty, self._load, self._dump = empty, load, dump
        self._parsed: dict[str, tuple[bytes, S]] = {}

    async def run(self) -> None:
        """Hear of every change until cancelled."""
        await self._mirror.run()

    async def read(self, family: str) -> S:
        """What is known of ``family``; nothing where the record cannot be read (decisions go on without it)."""
        try:
            return self._value(family, await self._mirror.get(self._key(family)))
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
                revision = await self._bucket.update(self._key(family), written, revision)
            except WrongRevision:
                continue  # another replica was first: add to what it wrote
            self._parsed[family] = written, after
            self._mirror.note(Entry(self._key(family), written, revision))
            return after

    def _value(self, family: str, entry: Entry | None) -> S:
        """What the record says. Raises StateRefused."""
        if entry is None:
            return self._empty()
        parsed = self._parsed.get(family)
        if parsed is None or parsed[0] != entry.data:
            parsed = self._parsed[family] = entry.data, self._load(entry.data)
        return parsed[1]

    async def _read_or_set_aside(self, family: str) -> tuple[S, int]:
        entry = await self._bucket.get(self._key(family))
        if entry is None:
            return self._empty(), 0
        try:
            return self._value(family, entry), entry.revision
        except StateRefused as error:
            if error.newer:
                raise
            log.error("%s; it is set aside and learning of %s begins anew", error, family)
        await self._bucket.put(f"damaged.{family}.{entry.revision}", entry.data)
        return self._empty(), entry.revision

    def _key(self, family: str) -> str:
        return f"{self._kind}.{family}"
