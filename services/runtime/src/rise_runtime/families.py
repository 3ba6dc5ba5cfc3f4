"""The model families, on the bus: bucket ``rise_families``, one JSON resource per name.

Workers make them known; a scheduler knows none by itself, and follows the bucket, so that a family that is added or
changed needs no restart.
"""

from __future__ import annotations

import asyncio
from typing import Final

from rise_contracts import codec, subjects
from rise_contracts.errors import Busy, UnknownName
from rise_contracts.resources import ModelFamily
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.mirrors import Mirror

_AGAIN_S: Final = 0.5
_PATIENCE_S: Final = 3600.0
"""A server that is away is waited for."""


class Families:
    """The families of one bus. While `run` runs, `get` asks the server for those only that it has not heard of."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = Bucket(bus, subjects.KV_FAMILIES)
        self._mirror = Mirror(self._bucket)
        self._read: dict[str, tuple[int, ModelFamily]] = {}

    async def run(self) -> None:
        """Follow the families until cancelled."""
        await self._mirror.run()

    async def get(self, name: str) -> ModelFamily:
        """The family ``name``. Raises UnknownName with the nearest known one, Busy while no family is known at all."""
        entry = await self._mirror.get(name)
        if entry is None or entry.value is None:
            known = [other.key for other in await self._bucket.entries()]
            if not known:  # workers make families known as they start: a job that is earlier than they waits for them
                raise Busy(f"no model family is known yet, wanted {name}; start workers, or wait until they are ready")
            raise UnknownName("family", name, known, "spec.family")
        cached = self._read.get(name)
        if cached is not None and cached[0] == entry.revision:
            return cached[1]
        family = codec.decode(ModelFamily, entry.value)
        self._read[name] = (entry.revision, family)
        return family

    async def all(self) -> list[ModelFamily]:
        """Every family that is known, by name."""
        entries = sorted(await self._bucket.entries(), key=lambda entry: entry.key)
        return [codec.decode(ModelFamily, entry.value) for entry in entries if entry.value is not None]

    async def wait_for(self, name: str) -> ModelFamily:
        """The family `name`, as soon as somebody has made it known. It is polled: a device may not watch."""
        while True:
            entry = await self._bucket.get(name, patience=_PATIENCE_S)
            if entry is not None and entry.value is not None:
                return codec.decode(ModelFamily, entry.value)
            await asyncio.sleep(_AGAIN_S)

    async def withdraw(self, name: str) -> None:
        """Forget the family. Workers that hold it go on with what they have."""
        if await self._bucket.get(name) is not None:
            await self._bucket.remove(name)

    async def publish(self, family: ModelFamily) -> None:
        """Make ``family`` known to everyone on the bus, in place of an older one of that name."""
        wanted = codec.encode(family)
        entry = await self._bucket.get(family.metadata.name)
        if entry is None or entry.value != wanted:
            await self._bucket.put(family.metadata.name, wanted)
