"""Tasks that were started too often: JetStream says so once and leaves them lying; here they become dead letters."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from rise_contracts import errors, subjects
from rise_runtime import streams
from rise_runtime.bus import Bus
from rise_runtime.pulls import Consumer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    job_id: str
    attempt: int
    message: str


async def dead_letters(bus: Bus) -> AsyncIterator[DeadLetter]:
    """Every task that is given up, after it was copied to the dead letters.

    The task leaves its queue when the caller asks for the next one: what the caller does about it is done then.
    """
    consumer = Consumer(
        bus,
        subjects.STREAM_ADVISORIES,
        (subjects.MAX_DELIVERIES,),
        durable=subjects.DURABLE_DRIVER,
        ack_wait_s=30.0,
    )
    await consumer.start()
    try:
        while True:
            delivery = await consumer.next()
            if delivery is None:
                continue
            advisory = json.loads(delivery.data)
            dead = await _copy(bus, advisory)
            if dead is not None:
                yield dead
                await streams.delete(bus, str(advisory["stream"]), int(advisory["stream_seq"]))
            await delivery.ack()
    finally:
        await consumer.stop()


async def _copy(bus: Bus, advisory: dict[str, object]) -> DeadLetter | None:
    """Keep the message the advisory speaks of. None where it is not ours or was done with before."""
    stream, sequence = str(advisory["stream"]), int(str(advisory["stream_seq"]))
    if not stream.startswith(subjects.WORK_STREAM_PREFIX):
        return None
    message = await streams.at(bus, stream, sequence)
    if message is None:
        return None
    job_id, attempt = subjects.job_of_work(message.subject)
    log.warning("job %s: its task is given up after %s deliveries", job_id, advisory["deliveries"])
    try:
        await streams.store(bus, subjects.dead(job_id), message.data, msg_id=f"dead.{stream}.{sequence}")
    except errors.PayloadTooLarge:
        log.warning("job %s: its task is too large to be kept", job_id)
    text = f"its task was started {advisory['deliveries']} times and never finished: the workers that took it died"
    return DeadLetter(job_id, attempt, text)
