"""What is done with a job when it has ended well: nobody waits for it, and it is done once, whoever dies over it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from rise_contracts import codec, errors, messages, subjects
from rise_runtime.bus import Bus
from rise_runtime.pulls import Consumer, Delivery

log = logging.getLogger(__name__)

GIVE_UP_AFTER = 5
RETRY_S = 1.0

Look = Callable[[messages.JobDone], Awaitable[None]]


async def each_done(bus: Bus, durable: str, look: Look, *, ack_wait_s: float = 30.0, most_unacked: int = 1000) -> None:
    """Have `look` see every job that ended well, until cancelled. Those of one `durable` share the work.

    What it raises is tried again some times, but for NotFound (the job was removed) and InvalidInput (what it is will
    be no other the next time): those are let go at once.
    """
    kinds = (subjects.event("*", "job-done"),)
    consumer = Consumer(
        bus, subjects.STREAM_EVENTS, kinds, durable=durable, ack_wait_s=ack_wait_s, most_unacked=most_unacked
    )
    await consumer.start()
    try:
        while True:
            delivery = await consumer.next()
            if delivery is not None:
                async with delivery.kept(ack_wait_s / 3):
                    await _take(delivery, durable, look)
    finally:
        await consumer.stop()


async def _take(delivery: Delivery, durable: str, look: Look) -> None:
    """One job. Acknowledged when it was looked at, or is given up."""
    try:
        event, _ = codec.decode_event(delivery.data)
        if isinstance(event, messages.JobDone):
            await look(event)
    except errors.NotFound as error:
        log.info("%s lets go: %s", durable, error)  # its owner has removed it
    except errors.InvalidInput as error:
        log.warning("%s lets go: %s", durable, error)
    except Exception as error:
        unforeseen = not isinstance(error, errors.RiseError)
        if delivery.deliveries < GIVE_UP_AFTER:
            log.warning("%s tries again: %s", durable, error, exc_info=unforeseen)
            await delivery.nak(RETRY_S)
            return
        log.error("%s gives up: %s", durable, error, exc_info=unforeseen)
    await delivery.ack()
