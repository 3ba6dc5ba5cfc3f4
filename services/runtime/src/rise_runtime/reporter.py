"""How what a worker has seen and made gets into the stores: by itself, or through somebody who looks at it first.

A worker of the tier edge is of the platform, and stores. One of the tier device may be anybody's: it offers, and
`customs` looks at each offer and stores it. In both cases whoever repeats it repeats the same, to the same effect.
"""

from __future__ import annotations

from typing import Final, Protocol

from rise_contracts import codec, messages, subjects
from rise_runtime import blobs, endings, streams, tasks
from rise_runtime.bus import Bus
from rise_runtime.seam import Identity

TASK: Final = "task"
SPENT: Final = "spent"
DEAD: Final = "dead"
"""Kinds of offers that are no events: a task for the next stage, chunks that nobody needs, work that was given up."""


class Reporter(Protocol):
    """Each returns when it is stored, and raises what `streams.store` raises."""

    async def event(self, event: messages.Event, behind: bytes = b"") -> None:
        """Tell the driver and the job's followers."""

    async def hand_over(self, task: messages.StageTask, payload: bytes) -> None:
        """Give the next stage its work."""

    async def finish(self, done: messages.JobDone, behind: bytes) -> None:
        """End the job, unless it has ended."""

    async def give_up(self, event: messages.StageFailed, work: bytes, key: str) -> None:
        """Keep work that nobody can do among the dead letters, and tell. `key` names this piece of it."""

    async def forget(self, job_id: str, chunks: messages.PayloadRef | None, checkpoint: str = "") -> None:
        """Free the room of chunks of this worker's own, and of the checkpoint on that subject."""


class Storing(Reporter):
    """For those whom everybody trusts."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def event(self, event: messages.Event, behind: bytes = b"") -> None:
        await streams.store(
            self._bus, subjects.event(event.job_id, event.kind), codec.encode(event, behind), msg_id=_id_of(event)
        )

    async def hand_over(self, task: messages.StageTask, payload: bytes) -> None:
        await tasks.send(self._bus, task, payload)

    async def finish(self, done: messages.JobDone, behind: bytes) -> None:
        kept = await endings.keep(self._bus, done, behind)
        if not kept.won:
            await blobs.drop(self._bus, done.payload)
        await endings.announce(self._bus, kept.ending)

    async def give_up(self, event: messages.StageFailed, work: bytes, key: str) -> None:
        await streams.store(self._bus, subjects.dead(event.job_id), work, msg_id=key)
        subject = subjects.event(event.job_id, event.kind)
        await streams.store(self._bus, subject, codec.encode(event), msg_id=f"{key}.event")

    async def forget(self, job_id: str, chunks: messages.PayloadRef | None, checkpoint: str = "") -> None:
        if checkpoint:
            await streams.purge(self._bus, subjects.STREAM_CHECKPOINTS, checkpoint)
        if chunks is not None:
            await blobs.drop(self._bus, chunks)


class Offering(Reporter):
    """For those who are looked at: everything goes on subjects that carry the worker's name.

    No message ids: they are the stream's, so that anybody could use up another's.
    """

    def __init__(self, bus: Bus, identity: Identity) -> None:
        self._bus, self._identity = bus, identity

    async def event(self, event: messages.Event, behind: bytes = b"") -> None:
        await self._offer(event.job_id, event.kind, codec.encode(event, behind))

    async def hand_over(self, task: messages.StageTask, payload: bytes) -> None:
        digest = task.handoff.sha256 if task.handoff is not None else None
        me = self._identity
        shelf = subjects.shelf(subjects.lane(me.pool, me.name), me.writer)
        ref, behind = await blobs.send(self._bus, shelf, task.job_id, "handoff", task.attempt, payload, sha256=digest)
        task = task.model_copy(update={"payload": ref})
        await self._offer(task.job_id, TASK, codec.encode(task, behind))

    async def finish(self, done: messages.JobDone, behind: bytes) -> None:
        await self._offer(done.job_id, done.kind, codec.encode(done, behind))

    async def give_up(self, event: messages.StageFailed, work: bytes, key: str) -> None:
        await self._offer(event.job_id, DEAD, codec.encode(event, work))

    async def forget(self, job_id: str, chunks: messages.PayloadRef | None, checkpoint: str = "") -> None:
        # A device may remove nothing from a stream itself.
        if checkpoint or (chunks is not None and chunks.subject is not None):
            await self._offer(job_id, SPENT, codec.encode(messages.Spent(chunks=chunks, checkpoint=checkpoint)))

    async def _offer(self, job_id: str, kind: str, data: bytes) -> None:
        self._bus.check_size(f"offer {kind}", len(data))
        subject = subjects.offer(self._identity.pool, self._identity.name, job_id, kind)
        await streams.store(self._bus, subject, data)


def reporter_of(bus: Bus, identity: Identity) -> Reporter:
    return Storing(bus) if identity.tier == "edge" else Offering(bus, identity)


def _id_of(event: messages.Event) -> str:
    """The same for whoever tells the same. A stage starts anew with each delivery."""
    stage = getattr(event, "stage", 0)
    again = str(event.delivery) if isinstance(event, messages.StageStarted) else ""
    return subjects.event_id(event.job_id, event.attempt, event.kind, stage, again)
