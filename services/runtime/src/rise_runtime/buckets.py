"""Key-value buckets: read, write if unchanged, create if absent, watch. The same streams that NATS' own tools see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from rise_contracts import errors, subjects
from rise_runtime import streams
from rise_runtime.bus import Bus
from rise_runtime.pulls import Consumer, Delivery
from rise_runtime.streams import WrongRevision

_OPERATION: Final = "KV-Operation"
_CATCH_UP_S: Final = 1.0
_BEHIND_S: Final = 2.0
"""For so long a replica may be behind, of those that answer reads."""
_AGAIN_S: Final = 0.05
_FORGOTTEN_AT_ONCE: Final = 1000
_REMOVED: Final = frozenset({"DEL", "PURGE"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A value with its revision. `value` None means that the key was removed at this revision."""

    key: str
    value: bytes | None
    revision: int

    @property
    def data(self) -> bytes:
        """The value. Raises NotFound where the key was removed."""
        if self.value is None:
            raise errors.NotFound("key", self.key, "it was removed")
        return self.value


@dataclass(frozen=True, slots=True)
class _Horizon:
    """Up to which sequence all of a stream was dropped. `born`: of another stream of its name it says nothing."""

    born: str
    end: int

    @property
    def text(self) -> bytes:
        return f"{self.born} {self.end}".encode()

    @classmethod
    def read(cls, entry: Entry | None) -> _Horizon:
        born, _, end = (entry.value or b"").decode().partition(" ") if entry is not None else ("", "", "")
        return cls(born, int(end) if end.isdecimal() else 0)


class Bucket:
    """One bucket. Nothing is kept here: every call asks the server."""

    def __init__(self, bus: Bus, name: str) -> None:
        self._bus, self.name = bus, name
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def ensure(self, *, max_age_s: float = 0) -> None:
        """Make the bucket. With `max_age_s` a key that is not written again in time is gone."""
        await streams.ensure(
            self._bus,
            self._stream,
            (self._prefix + ">",),
            max_age_s=max_age_s,
            # No rollups: whoever may write one key could empty the bucket with one.
            extra={"max_msgs_per_subject": 1, "allow_rollup_hdrs": False, "deny_delete": True},
        )

    async def get(self, key: str, *, patience: float = 0.0) -> Entry | None:
        """The entry, or None where the key is not there (or was removed). Waits `patience` s for a server that is
        away."""
        entry = await self._last(key, patience)
        return entry if entry is not None and entry.value is not None else None

    async def known(
        self,
        key: str,
        enough: Callable[[Entry | None], bool] = lambda entry: entry is not None,
        *,
        patience: float = 0.0,
        behind_s: float = _BEHIND_S,
    ) -> Entry | None:
        """`get` of what has to be there, and to be `enough`: a server that is behind is asked again for `behind_s`, and
        its last word counts."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + behind_s
        while not enough(entry := await self.get(key, patience=patience)):
            if loop.time() >= give_up:
                break
            await asyncio.sleep(_AGAIN_S)
        return entry

    async def certain(self, key: str) -> Entry | None:
        """`get`, as the bucket's leader says it: `get` may be answered by a server that is behind."""
        message = await streams.leading(self._bus, self._stream, self._prefix + key)
        if message is None or message.headers.get(_OPERATION) in _REMOVED:
            return None
        return Entry(key, message.data, message.sequence)

    async def is_there(self, key: str) -> bool:
        """Whether the key is there for certain."""
        return await self.certain(key) is not None

    async def put(self, key: str, value: bytes, *, patience: float = 15.0) -> int:
        """Write whatever is there; the new revision."""
        self._bus.check_size(f"{self.name} {key}", len(value))
        return (await streams.store(self._bus, self._prefix + key, value, patience=patience)).sequence

    async def update(self, key: str, value: bytes, revision: int) -> int:
        """Write if the key is still at `revision`; the new revision. Raises WrongRevision."""
        self._bus.check_size(f"{self.name} {key}", len(value))
        stored = await streams.store(self._bus, self._prefix + key, value, expect_last=revision)
        return stored.sequence

    async def create(self, key: str, value: bytes) -> int | Entry:
        """Write if the key is not there; the revision, or what somebody else wrote first. Raises Busy where for too
        long nothing can be read that another has written."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + _BEHIND_S
        there = Entry(key, None, 0)
        while there.value is None:
            try:
                return await self.update(key, value, there.revision)
            except WrongRevision as error:
                if loop.time() >= give_up:
                    raise errors.Busy(f"{self.name} {key} is there, and cannot be read yet ({error})") from error
                there = await self.instead(key, there.revision)
        return there

    async def instead(self, key: str, refused: int) -> Entry:
        """What is there instead of revision `refused`, which the server has called wrong. 0 means nothing, here and in
        what is given.

        Of several servers one answers that may be behind: one that still says `refused` is asked again, once, for it
        may be right: a mark that was in the way is dropped in time.
        """
        there = await self._last(key) or Entry(key, None, 0)
        if there.revision != refused:
            return there
        await asyncio.sleep(_AGAIN_S)
        return await self._last(key) or Entry(key, None, 0)

    async def remove(self, key: str, revision: int | None = None) -> None:
        """Take the key away; watchers hear of it. With `revision` only if it is still at that: raises WrongRevision."""
        mark = {_OPERATION: "DEL"}
        await streams.store(self._bus, self._prefix + key, b"", headers=mark, expect_last=revision)

    async def forget(self, older_s: float) -> None:
        """Drop the marks of removal at the front of the bucket that are older than `older_s` seconds: who watches has
        long seen them. A file of the store goes when nothing is left in it, and with it what was removed.

        A server that is killed may find in its files what was dropped before, values and all (nats-server 2.15: what
        a later message of a subject has replaced is not marked there). So it is written down first how far it was
        dropped, in a bucket where nothing is removed, and dropped again where it is back.
        """
        horizons = Bucket(self._bus, subjects.KV_FORGOTTEN)
        born = await streams.born(self._bus, self._stream)
        written = _Horizon.read(await horizons.get(self.name))
        before = written.end if written.born == born else 0
        end = await self._end_of_marks(before, older_s)
        if end > before:
            await horizons.put(self.name, _Horizon(born, end).text)
        oldest = await streams.first(self._bus, self._stream, f"{self._prefix}>")
        if oldest is not None and oldest.sequence <= end:
            await streams.trim(self._bus, self._stream, end + 1)

    async def _end_of_marks(self, end: int, older_s: float) -> int:
        """The sequence, `end` or later, up to which there are but marks that old."""
        for _ in range(_FORGOTTEN_AT_ONCE):
            oldest = await streams.first(self._bus, self._stream, f"{self._prefix}>", end + 1)
            if oldest is None or oldest.headers.get(_OPERATION) not in _REMOVED:
                break
            if time.time() - oldest.stored_at < older_s:
                break
            end = oldest.sequence
        return end

    async def entries(self) -> list[Entry]:
        """All entries there are now."""
        found: list[Entry] = []
        async for entry in self.watch():
            if entry is None:
                break
            if entry.value is not None:
                found.append(entry)
        return found

    async def watch(self, keys: str = ">") -> AsyncIterator[Entry | None]:
        """Every entry there is, then None once, then every change as it happens. It survives the server.

        After a restart of the server the changes made meanwhile follow.
        """
        consumer = Consumer(self._bus, self._stream, (self._prefix + keys,), deliver="last_per_subject", batch=256)
        caught_up = await consumer.start() == 0
        try:
            if caught_up:
                yield None
            while True:
                delivery = await consumer.next(None if caught_up else _CATCH_UP_S)
                if delivery is not None:
                    yield self._entry(delivery)
                if caught_up:
                    continue
                # In silence the server is asked: what was still to come may have grown too old meanwhile.
                left = await consumer.pending() if delivery is None else delivery.pending
                if left == 0:
                    caught_up = True
                    yield None
        finally:
            await consumer.stop()

    def _entry(self, delivery: Delivery) -> Entry:
        removed = delivery.message.headers.get(_OPERATION) in _REMOVED
        key = delivery.subject.removeprefix(self._prefix)
        return Entry(key, None if removed else delivery.data, delivery.stream_sequence)

    async def _last(self, key: str, patience: float = 0.0) -> Entry | None:
        try:
            message = await streams.last(self._bus, self._stream, self._prefix + key, patience=patience)
        except errors.NoResponder as error:
            raise errors.NotFound("bucket", self.name, "is the platform up?") from error
        if message is None:
            return None
        removed = message.headers.get(_OPERATION) in _REMOVED
        return Entry(key, None if removed else message.data, message.sequence)
