"""One job from submission to its pictures in memory, with everything a person may want to see on the way."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from rise_cli import progress
from rise_cli.progress import Progress
from rise_cli.view import Screen
from rise_contracts import errors, messages, records, resources
from rise_runtime import client
from rise_runtime.bus import Bus

_WHY = {
    records.Waiting.ACCEPTED: "waiting for the job driver",
    records.Waiting.SUSPENDED: "suspended: it runs when spec.suspend is false",
    records.Waiting.SCHEDULER_AWAY: "waiting for the scheduler",
    records.Waiting.NO_CONFIGURATION: "waiting for a worker that can do it",
    records.Waiting.BACKOFF: "waiting for the next attempt",
    records.Waiting.IN_QUEUE: "waiting in the queue",
}


_USUAL = (None, records.Waiting.ACCEPTED, records.Waiting.IN_QUEUE)
"""What every job waits for, mostly for a moment."""


@dataclass(frozen=True)
class Made:
    """A finished job. `seconds` is from submission until the pictures were here."""

    record: records.JobRecord
    done: messages.JobDone
    images: tuple[bytes, ...]
    handoffs: tuple[tuple[messages.HandoffSent, bytes], ...]
    seconds: float


def why_waiting(record: records.JobRecord) -> str:
    """A job that does not run says why; empty for one that runs or has ended."""
    if record.waiting_reason is None or record.finished:
        return ""
    text = _WHY[record.waiting_reason]
    return f"{text}: {record.waiting_message}" if record.waiting_message else text


async def submit(bus: Bus, job: resources.RelayJob, *, preview: bool = False) -> records.JobRecord:
    """Hand the job in."""
    # Under one key there is one job, whatever it is called; so the id may not depend on the name then.
    name = "job" if job.spec.idempotency_key is not None else job.metadata.name
    return await client.submit(bus, job.spec, name=name, preview=preview)


async def make(bus: Bus, job: resources.RelayJob, screen: Screen, *, preview: bool = False) -> Made:
    """Submit, follow, fetch. A job that nobody waits for any more is cancelled: this one is ours.

    Raises JobEndedBadly, Cancelled, and what submitting raises.
    """
    began = time.perf_counter()
    record = await submit(bus, job, preview=preview)
    try:
        handoffs = await follow(bus, record.job_id, screen)
        result = await client.fetch_result(bus, record.job_id)
        seconds = time.perf_counter() - began
    except asyncio.CancelledError:
        with contextlib.suppress(errors.RiseError, TimeoutError):
            await asyncio.wait_for(client.cancel(bus, record.job_id), 2.0)
        raise
    record = await client.get_job(bus, record.job_id)
    return Made(record, result.done, result.images, handoffs, seconds)


async def tell_quality(bus: Bus, made: Made, quality: float | None) -> None:
    """Let the scheduler learn what the judge says. The picture is there, so nothing is made of it when that fails."""
    if quality is not None:
        with contextlib.suppress(errors.RiseError):
            await client.report_quality(bus, made.record, made.done, quality, judged_by="judge")


async def follow(bus: Bus, job_id: str, screen: Screen) -> tuple[tuple[messages.HandoffSent, bytes], ...]:
    """Show the job's progress until it has ended; its handoffs, with their previews."""
    state = Progress()
    handoffs: list[tuple[messages.HandoffSent, bytes]] = []

    async def watch_record() -> None:
        nonlocal state
        async for record in client.watch_job(bus, job_id):
            usual = record.waiting_reason in _USUAL
            (screen.status if usual else screen.note)(why_waiting(record))
            if record.decision is not None:
                state = progress.plan(state, record.decision.configuration, record.attempt)
                screen.show(state)

    watching = asyncio.create_task(watch_record())
    try:
        async for event, behind in client.watch(bus, job_id):
            state = progress.advance(state, event)
            screen.show(state)
            if isinstance(event, messages.HandoffSent):
                handoffs.append((event, behind))
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError, errors.RiseError):
            await watching
    return tuple(handoffs)
