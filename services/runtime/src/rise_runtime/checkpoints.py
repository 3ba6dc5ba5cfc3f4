"""Stages in mid-work, kept on the bus: a worker that dies costs the steps since its last checkpoint.

One is kept for each job, attempt and stage, under a name of all three: what an old attempt still writes is read by
nobody. A checkpoint saves time and nothing else, so whatever goes wrong with one is logged, and the stage goes on, or
begins anew.
"""

from __future__ import annotations

import asyncio
import logging
import time

from rise_contracts import codec, errors, messages, subjects
from rise_runtime import blobs, streams
from rise_runtime.bus import Bus
from rise_runtime.reporter import Reporter
from rise_runtime.seam import Checkpoint

log = logging.getLogger(__name__)

_LAST_S = 1.0


class Checkpoints:
    """The checkpoints of one stage of one attempt. Made in the event loop; `give` may be called from any thread.

    `reporter` frees the room of chunks that a newer checkpoint has made useless. The message itself needs none: there
    is one of a stage at a time, and it goes with the job. `writer` is whose shelf the chunks are on.
    """

    def __init__(self, bus: Bus, task: messages.StageTask, reporter: Reporter, writer: str | None = None) -> None:
        self._bus, self._task, self._reporter = bus, task, reporter
        self._lane = task.configuration.stages[task.stage_index].lane
        self._shelf = subjects.shelf(self._lane, writer)
        self._subject = subjects.checkpoint(self._lane, task.job_id, task.attempt, task.stage_index)
        self._loop = asyncio.get_running_loop()
        self._given = asyncio.Event()
        self._newest: Checkpoint | None = None
        self._kept: messages.PayloadRef | None = None
        self.seconds = 0.0

    def give(self, checkpoint: Checkpoint) -> None:
        """Have `run` store this one next. One that waits still is forgotten."""
        self._loop.call_soon_threadsafe(self._take, checkpoint)

    async def run(self) -> None:
        """Store what is given, until cancelled. What is half stored by then is stored to its end, if that is soon: cut
        off, it would leave chunks that nobody knows of, and that nobody drops."""
        while True:
            await self._given.wait()
            self._given.clear()
            newest, self._newest = self._newest, None
            if newest is None:
                continue
            storing = asyncio.ensure_future(self._store(newest))
            try:
                await asyncio.shield(storing)
            finally:
                await asyncio.wait({storing}, timeout=_LAST_S)
                storing.cancel()

    async def find(self) -> Checkpoint | None:
        """What an earlier delivery left, undamaged; None where there is nothing of use."""
        try:
            stored = await streams.last(self._bus, subjects.STREAM_CHECKPOINTS, self._subject)
            if stored is None:
                return None
            found, behind = codec.decode_with_payload(messages.Checkpoint, stored.data)
            named = subjects.checkpoint(self._lane, found.job_id, found.attempt, found.stage)
            if named != self._subject:
                raise errors.HandoffRefused(errors.Refusal.JOB, self._subject, named)
            self._kept = found.payload
            payload = await blobs.receive(self._bus, found.payload, behind)
        except errors.RiseError as error:
            log.warning("job %s: its checkpoint is of no use, the stage begins anew: %s", self._task.job_id, error)
            return None
        return Checkpoint(found.header, payload, found.step, found.seconds)

    async def drop(self) -> None:
        """Free the room of what is kept, if anything is."""
        if self._kept is not None:
            await self.forget()

    async def forget(self) -> None:
        """Free the room of whatever there is, that of which only the confirmation was lost as well."""
        try:
            await self._reporter.forget(self._task.job_id, self._kept, self._subject)
        except errors.RiseError as error:
            log.info("job %s: its checkpoint goes when the job ends, or in time: %s", self._task.job_id, error)

    def _take(self, checkpoint: Checkpoint) -> None:
        self._newest = checkpoint
        self._given.set()

    async def _store(self, checkpoint: Checkpoint) -> None:
        task, older, began = self._task, self._kept, time.thread_time()
        try:
            ref, behind = await blobs.send(
                self._bus, self._shelf, task.job_id, "checkpoint", task.attempt, checkpoint.payload
            )
            message = messages.Checkpoint(
                job_id=task.job_id,
                attempt=task.attempt,
                stage=task.stage_index,
                step=checkpoint.step,
                seconds=checkpoint.seconds,
                header=checkpoint.header,
                payload=ref,
            )
            data = codec.encode(message, behind)
            self._bus.check_size("checkpoint", len(data))
            await streams.store(self._bus, self._subject, data)
            self._kept = ref
            if older is not None:
                await self._reporter.forget(task.job_id, older)
        except errors.RiseError as error:
            log.warning("job %s: no checkpoint after step %d: %s", task.job_id, checkpoint.step, error)
        # Of this thread alone: waiting for the server costs nobody anything, and the handler goes on meanwhile.
        self.seconds = time.thread_time() - began
