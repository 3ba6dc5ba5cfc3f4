"""A bucket's entries as far as this process has heard of them, for who reads far more often than anybody writes."""

from __future__ import annotations

from rise_runtime.buckets import Bucket, Entry


class Mirror:
    """The entries of `bucket` under `keys`. `run` keeps it up to date; what was not heard of is asked of the server.

    It is behind by what a message takes, so what is written on the strength of it has to be written by revision.
    """

    def __init__(self, bucket: Bucket, keys: str = ">") -> None:
        self._bucket, self._keys = bucket, keys
        self._heard: dict[str, Entry] = {}

    async def run(self) -> None:
        """Follow the bucket until cancelled."""
        async for entry in self._bucket.watch(self._keys):
            if entry is not None:
                self.note(entry)

    def note(self, entry: Entry) -> None:
        """Take in what was heard, or has just been written here. A key that was removed is not heard of any more."""
        if entry.value is None:
            self._heard.pop(entry.key, None)
        else:
            self._heard[entry.key] = entry

    async def get(self, key: str) -> Entry | None:
        """The entry, or None where there is none."""
        return self._heard.get(key) or await self._bucket.get(key)
