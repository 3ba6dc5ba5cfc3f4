"""Stage tasks: put one into the queue of its pool, read one out of it."""

from __future__ import annotations

from rise_contracts import codec, errors, messages, subjects
from rise_runtime import blobs, streams
from rise_runtime.bus import Bus


async def send(bus: Bus, task: messages.StageTask, payload: bytes = b"") -> streams.Stored:
    """Store the task for the worker or pool that its configuration names, once however often it is sent.

    Raises PayloadTooLarge, Busy (queue full), DiskFull, BusUnavailable.
    """
    stage, behind = task.configuration.stages[task.stage_index], b""
    if payload:
        digest = None if task.handoff is None else task.handoff.sha256
        shelf = subjects.shelf(stage.lane, None)
        ref, behind = await blobs.send(bus, shelf, task.job_id, "handoff", task.attempt, payload, sha256=digest)
        task = task.model_copy(update={"payload": ref})
    subject = subjects.work(stage.pool, stage.worker, task.job_id, task.attempt)
    data = codec.encode(task, behind)
    bus.check_size("stage task", len(data))
    msg_id = subjects.task_id(task.job_id, task.attempt, task.stage_index)
    return await streams.store(bus, subject, data, msg_id=msg_id)


def read(data: bytes) -> tuple[messages.StageTask, bytes]:
    """The task in a work message and the bytes behind it. Raises InvalidInput."""
    return codec.decode_with_payload(messages.StageTask, data)


async def payload(bus: Bus, task: messages.StageTask, behind: bytes) -> bytes:
    """The handoff's bytes, of the size and digest that its header states. Empty for the head.

    Raises HandoffRefused where they are not.
    """
    ref, header = task.payload, task.handoff
    if ref is None:
        return b""
    if header is not None and (header.nbytes, header.sha256) != (ref.nbytes, ref.sha256):
        wanted, got = (f"{side.nbytes} bytes with digest {side.sha256}" for side in (header, ref))
        raise errors.HandoffRefused(errors.Refusal.DIGEST, wanted, got)
    return await blobs.receive(bus, ref, behind)
