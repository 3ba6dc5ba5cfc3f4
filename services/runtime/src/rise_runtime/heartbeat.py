"""Heartbeats: a worker says about once a second who and how it is; whoever wants to know watches the bucket."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Collection

import psutil

from rise_contracts import codec, errors, messages, subjects
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.outcasts import Outcasts
from rise_runtime.pulls import Consumer
from rise_runtime.seam import Identity, StatusSource
from rise_runtime.together import meanwhile

log = logging.getLogger(__name__)


class Heart:
    """The heartbeat of one worker.

    `busy_jobs` gives the jobs that it is at, at most one for each of its `slots`; `queue` is the pool's.
    """

    def __init__(
        self,
        bus: Bus,
        identity: Identity,
        status: StatusSource,
        busy_jobs: Callable[[], tuple[str, ...]],
        slots: int,
        queue: Consumer,
    ) -> None:
        self._bus, self._identity, self._status = bus, identity, status
        self._busy_jobs, self._slots, self._queue = busy_jobs, slots, queue
        self._bucket = Bucket(bus, subjects.KV_WORKERS)
        self._key = subjects.heartbeat(identity.tier, identity.pool, identity.name)
        self._process = psutil.Process()
        self._bytes_per_s: float | None = None
        self._ready = True

    def note_transfer(self, nbytes: int, seconds: float) -> None:
        """A handoff of `nbytes` took `seconds` to be stored: what the link gives. Small ones say nothing."""
        if nbytes >= 64 * 1024 and seconds > 0:
            rate = nbytes / seconds
            self._bytes_per_s = rate if self._bytes_per_s is None else 0.7 * self._bytes_per_s + 0.3 * rate

    async def beat(self) -> None:
        """Say it once. A bus that is away is no reason to stop working, nor is a heartbeat that goes wrong."""
        try:
            heartbeat = await self._compose()
            await self._bucket.put(self._key, codec.encode(heartbeat), patience=0.0)
        except errors.RiseError as error:
            log.debug("heartbeat not sent: %s", error)
        except Exception:
            log.exception("the heartbeat could not be made")

    async def arrive(self) -> None:
        """Say that it is there, and takes no work yet."""
        self._ready, ready = False, self._ready
        await self.beat()
        self._ready = ready

    async def retire(self) -> None:
        """Say that no new work is wanted: what is at hand is ended, or given back."""
        self._ready = False
        await self.beat()

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(subjects.HEARTBEAT_S)

    async def leave(self) -> None:
        """Say goodbye, so that nobody waits for the heartbeat to run out."""
        try:
            await asyncio.wait_for(self._bucket.remove(self._key), 1.0)
        except (errors.RiseError, TimeoutError) as error:
            log.debug("goodbye not sent: %s", error)

    async def _compose(self) -> messages.Heartbeat:
        me, status = self._identity, self._status()
        # Not the messages in the queue: those that are being worked on stay there, and would be counted twice.
        depth, rtt = await asyncio.gather(self._queue.pending(), self._round_trip())
        return messages.Heartbeat(
            worker=me.name,
            tier=me.tier,
            pool=me.pool,
            pid=os.getpid(),
            at=time.time(),
            ready=self._ready,
            families=status.families,
            members=status.members,
            seconds_per_step=status.seconds_per_step,
            usual_seconds_per_step=status.usual_seconds_per_step,
            pace_age_s=status.pace_age_s,
            load_seconds=status.load_seconds,
            accelerator=status.accelerator,
            gain=status.gain,
            busy_jobs=self._busy_jobs(),
            slots=self._slots,
            queue_depth=depth or 0,
            rss_bytes=self._process.memory_info().rss,
            link=messages.LinkQuality(rtt_s=rtt, bytes_per_s=self._bytes_per_s),
            labels=me.labels,
            dedicated=me.dedicated,
            private=me.private,
        )

    async def _round_trip(self) -> float:
        started = time.perf_counter()
        await self._bus.request("$JS.API.INFO", timeout=2.0)
        return time.perf_counter() - started


class Workers:
    """The workers that are alive, as their heartbeats say, and not cut off. `run` keeps it up to date.

    Freshness is judged by this process' own clock: clocks of other machines are not to be trusted.
    """

    def __init__(self, bus: Bus) -> None:
        self._bucket = Bucket(bus, subjects.KV_WORKERS)
        self._outcasts = Outcasts(bus)
        self._seen: dict[str, tuple[messages.Heartbeat, float]] = {}

    def alive(self) -> tuple[messages.Heartbeat, ...]:
        oldest = time.monotonic() - subjects.WORKER_TTL_S
        # A heartbeat that ran out at the server ends without a word, and names of pods do not come again.
        self._seen = {worker: seen for worker, seen in self._seen.items() if seen[1] >= oldest}
        return tuple(beat for beat, _ in self._seen.values() if beat.worker not in self._outcasts)

    async def run(self) -> None:
        async for _ in self.changes():
            pass

    async def changes(self) -> AsyncIterator[tuple[messages.Heartbeat, ...]]:
        """The living workers, after each heartbeat or goodbye."""
        async with meanwhile(self._outcasts.run()):
            async for entry in self._bucket.watch():
                if entry is not None:
                    self._take(entry.key, entry.value)
                yield self.alive()

    async def until_ready(
        self, names: Collection[str], patience: float, hint: str, note: Callable[[str], None] = lambda _: None
    ) -> None:
        """Until each of these workers has loaded its members and says so; ``note`` hears who is still missing. Raises
        Waited, with the hint, after ``patience`` seconds."""
        missing = set(names)
        try:
            async with asyncio.timeout(patience):
                async for alive in self.changes():
                    missing = set(names) - {beat.worker for beat in alive if beat.ready}
                    if not missing:
                        return
                    note(f"waiting for {', '.join(sorted(missing))} to load")
        except TimeoutError:
            raise errors.Waited(f"start of {', '.join(sorted(missing))}", patience, hint) from None

    async def now(self) -> tuple[messages.Heartbeat, ...]:
        """The living workers, asked once."""
        entries, outcasts = await asyncio.gather(self._bucket.entries(), self._outcasts.now())
        for entry in entries:
            self._take(entry.key, entry.value)
        return tuple(beat for beat in self.alive() if beat.worker not in outcasts)

    def _take(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._seen.pop(key, None)
            return
        try:
            beat = codec.decode(messages.Heartbeat, value)
            if (own := subjects.heartbeat(beat.tier, beat.pool, beat.worker)) != key:
                raise errors.InvalidInput("key", f"{own}, of whom it speaks", key)
            self._seen[key] = beat, time.monotonic()
        except errors.InvalidInput as error:
            log.warning("heartbeat of %s is not understood: %s", key, error)
