"""How jobs ended, and when that was heard here: one consumer for all of them."""

from __future__ import annotations

import asyncio
import time

from rise_contracts import codec, messages, subjects
from rise_runtime.bus import Bus
from rise_runtime.pulls import Consumer

Heard = tuple[messages.Ending, float]
"""An ending, and the monotonic time at which it came."""


class Endings:
    """`listen` has to run meanwhile."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._known: dict[str, asyncio.Future[Heard]] = {}

    async def of(self, job_id: str) -> Heard:
        """The ending of a job, as soon as it has one."""
        return await asyncio.shield(self._future(job_id))

    async def listen(self) -> None:
        """Until cancelled."""
        kinds = tuple(subjects.event("*", kind) for kind in ("job-done", "job-failed", "job-cancelled"))
        consumer = Consumer(self._bus, subjects.STREAM_EVENTS, kinds, batch=64)
        await consumer.start()
        try:
            while True:
                delivery = await consumer.next()
                if delivery is not None:
                    self._note(codec.decode_event(delivery.data)[0])
        finally:
            await consumer.stop()

    def _note(self, event: messages.Event) -> None:
        if isinstance(event, messages.JobDone | messages.JobFailed | messages.JobCancelled):
            future = self._future(event.job_id)
            if not future.done():
                future.set_result((event, time.monotonic()))

    def _future(self, job_id: str) -> asyncio.Future[Heard]:
        return self._known.setdefault(job_id, asyncio.get_running_loop().create_future())
