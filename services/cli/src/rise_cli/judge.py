"""`python -m rise_cli.judge`: looks at every finished picture that a program can judge, and tells the scheduler.

A front door that waits for its picture judges it itself (`rise run`); of the others' pictures nobody would know whether
they are right. It works off the hot path: a job has ended before it is looked at, and nobody waits for the verdict.
Judging twice tells once.
"""

from __future__ import annotations

import logging

from rise_cli import beside, written
from rise_contracts import codec, errors, messages, subjects
from rise_contracts.audits import is_audit
from rise_runtime import client
from rise_runtime.bus import Bus
from rise_runtime.pulls import Consumer, Delivery
from rise_runtime.signals import leave

log = logging.getLogger(__name__)

GIVE_UP_AFTER = 5
RETRY_S = 1.0


async def run_judge(bus: Bus) -> None:
    """Judge what ends, until cancelled. Several judges share the work."""
    kinds = (subjects.event("*", "job-done"),)
    consumer = Consumer(bus, subjects.STREAM_EVENTS, kinds, durable=subjects.DURABLE_JUDGE, ack_wait_s=30.0)
    await consumer.start()
    try:
        while True:
            delivery = await consumer.next()
            if delivery is not None:
                await _judge(bus, delivery)
    finally:
        await consumer.stop()


async def _judge(bus: Bus, delivery: Delivery) -> None:
    """One job. Acknowledged when its quality is told, when nobody can tell it, or when it is given up."""
    try:
        event, _ = codec.decode_event(delivery.data)
        if isinstance(event, messages.JobDone):
            await _tell_quality(bus, event)
    except errors.NotFound as error:
        log.info("not judged: %s", error)  # its owner has removed it
    except Exception as error:
        if delivery.deliveries < GIVE_UP_AFTER:
            log.warning("judging is tried again: %s", error, exc_info=not isinstance(error, errors.RiseError))
            await delivery.nak(RETRY_S)
            return
        log.exception("a result cannot be judged")
    await delivery.ack()


async def _tell_quality(bus: Bus, done: messages.JobDone) -> None:
    record = await client.get_job(bus, done.job_id)
    if is_audit(record.request.spec):
        return  # nobody asked for that picture
    result = await client.fetch_result(bus, done.job_id)
    spec = record.request.spec
    verdicts = [written.verdict(png, spec.prompt, spec.family) for png in result.images]
    right = [verdict.ok for verdict in verdicts if verdict is not None]
    if right:
        await client.report_quality(bus, record, result.done, sum(right) / len(right))
        log.info("job %s: %d of %d pictures are as the prompt says", done.job_id, sum(right), len(right))


if __name__ == "__main__":
    leave(beside.main("judge", run_judge))
