"""Where what devices offer is looked at, and stored if it is true.

Run by every driver and every worker at the edge: they share one durable consumer, so a result waits for none of them
in particular. A device that lies is cut off for a while: nothing more is taken from it, nothing is sent to it, and its
job goes to another. So is one that floods: what it says too much of is thrown away unread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, TypeGuard

from rise_contracts import codec, errors, messages, subjects
from rise_contracts.records import JobRecord
from rise_runtime import blobs, inspection, layout, png, streams, telemetry
from rise_runtime.bus import Bus
from rise_runtime.heartbeat import Workers
from rise_runtime.jobs import Jobs
from rise_runtime.outcasts import Outcasts
from rise_runtime.pulls import Consumer, Delivery
from rise_runtime.reporter import DEAD, SPENT, TASK, Storing
from rise_runtime.together import kept_up, meanwhile, together

log = logging.getLogger(__name__)

ACK_WAIT_S: Final = 0.3
"""A result that lies with a process which dies is looked at by another after this time: meanwhile its job stands still.
Who is still looking says so in between; one that cannot is overtaken, and a look made twice has the same effect."""
LOOKS: Final = 5
"""At a record that may be an old one, before an offer that it does not know is taken for a lie."""
MOST_IN_VAIN: Final = 1000
"""Offers of one worker within `WINDOW_S` that nobody wants: more is a flood. A few come late of every job that ends."""
MISSING_S: Final = 1.0
"""Chunks are stored before they are offered: what is not there within this time has been looked at, or never was."""
MISSING_COUNTS: Final = 100
"""Who has everybody wait for what is not there may do so a few times, and no more."""
WINDOW_S: Final = 10.0


async def run_customs(bus: Bus) -> None:
    """Look at what is offered until cancelled, and see that each device finds its queues.

    Raises BusUnavailable once the connection is closed for good.
    """
    await together(*(kept_up(bus, part, "the customs") for part in (_tend_queues, _look_at_offers)))


@contextlib.asynccontextmanager
async def at_work(bus: Bus) -> AsyncIterator[None]:
    """`run_customs` for the length of the block."""
    async with meanwhile(run_customs(bus)):
        yield


async def _look_at_offers(bus: Bus) -> None:
    await _Customs(bus).run()


async def _tend_queues(bus: Bus) -> None:
    """A device may make neither its pool's stream nor what takes its tasks out of it, and waits for both."""
    known: set[tuple[str, str | None]] = set()
    remove = bus.on_reconnect(known.clear)  # the server that comes back may have an empty store
    try:
        async for alive in Workers(bus).changes():
            wanted = {(beat.pool, name) for beat in alive if beat.tier == "device" for name in (beat.worker, None)}
            known &= wanted  # of one who comes again, the queue may have been forgotten
            for pool, worker in wanted - known:
                try:
                    await layout.ensure_pool(bus, pool)
                    await layout.queue(bus, pool, worker).make()
                    known.add((pool, worker))
                except errors.RiseError as error:
                    log.warning("a queue of pool %s could not be made, it is tried again: %s", pool, error)
    finally:
        remove()


class _Customs:
    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._jobs, self._outcasts, self._stores = Jobs(bus), Outcasts(bus), Storing(bus)
        self._in_vain: dict[str, deque[float]] = {}

    async def run(self) -> None:
        # One at a time: what waits behind a long look, or lies with a dead process, comes late.
        consumer = Consumer(
            self._bus,
            subjects.STREAM_OFFERS,
            (subjects.ALL_OFFERS,),
            durable=subjects.DURABLE_CUSTOMS,
            ack_wait_s=ACK_WAIT_S,
        )
        async with meanwhile(self._outcasts.run()):
            await consumer.start()
            try:
                while True:
                    delivery = await consumer.next()
                    if delivery is not None:
                        async with delivery.kept(ACK_WAIT_S / 3):
                            await self._look_at(delivery)
            finally:
                await consumer.stop()

    async def _look_at(self, delivery: Delivery) -> None:
        """Whatever is offered, it is taken, refused, or left for later; nothing of it ends this process."""
        try:
            pool, worker, job_id, kind = subjects.read_offer(delivery.subject)
        except ValueError as error:
            log.warning("an offer is thrown away: %s", error)
            await delivery.term()
            return
        try:
            if worker in self._outcasts:
                telemetry.OFFERS.labels("outcast").inc()
            elif await self._took(delivery, pool, worker, job_id, kind):
                telemetry.OFFERS.labels("taken").inc()
            else:
                telemetry.OFFERS.labels("late").inc()
                await self._count_in_vain(pool, worker)
        except (inspection.OfferRefused, errors.InvalidInput, errors.StageFailed) as error:
            telemetry.OFFERS.labels("refused").inc()
            await self._cut_off(pool, worker, job_id, str(error))
        except errors.NotFound as error:
            telemetry.OFFERS.labels("refused").inc()
            log.warning("an offer of %s cannot be read any more: %s", worker, error)
            await self._count_in_vain(pool, worker, MISSING_COUNTS)
        except (errors.RiseError, streams.JetStreamError) as error:
            log.warning("an offer of %s has to wait: %s", worker, error)
            await delivery.nak(0.5)
            return
        await delivery.ack(confirmed=False)

    async def _took(self, delivery: Delivery, pool: str, worker: str, job_id: str, kind: str) -> bool:
        """False where nobody wants it any more. Raises OfferRefused, InvalidInput, HandoffRefused."""
        if kind == SPENT:
            await self._free(codec.decode(messages.Spent, delivery.data), pool, worker, job_id)
            return True
        held = await self._jobs.get(job_id)
        record = held.record if held is not None else None
        if kind == TASK:
            return await self._take_task(delivery, record, pool, worker)
        event, behind = codec.decode_event(delivery.data)
        if event.job_id != job_id or (event.kind != kind and kind != DEAD):
            raise inspection.OfferRefused(worker, f"{kind} of job {job_id}", f"{event.kind} of job {event.job_id}")
        if not _is_wanted(record, event.attempt, delivery):
            return False
        if isinstance(event, messages.JobDone):
            await self._take_result(event, behind, record, pool, worker)
        elif kind == DEAD and isinstance(event, messages.StageFailed):
            self._check_lane(record, pool, worker)
            await self._stores.give_up(event, behind, f"dead.{delivery.subject}.{delivery.stream_sequence}")
        else:
            inspection.check_event(event, record, pool, worker)
            if behind:
                _check_preview(behind)
            await self._stores.event(event, behind)
        return True

    async def _take_result(
        self, done: messages.JobDone, behind: bytes, record: JobRecord, pool: str, worker: str
    ) -> None:
        self._check_ref(done.payload, pool, worker)
        payload = await blobs.receive(self._bus, done.payload, behind, timeout=MISSING_S)
        # In a thread: meanwhile it has to be said that this one is still being looked at.
        done = await asyncio.to_thread(inspection.check_result, done, payload, record, pool, worker)
        # On a subject that the device cannot write to: what was looked at stays as it was.
        shelf = subjects.shelf(subjects.lane(subjects.KEPT, None), None)
        ref, inline = await blobs.send(
            self._bus, shelf, done.job_id, "result", done.attempt, payload, sha256=done.digest
        )
        await self._stores.finish(done.model_copy(update={"payload": ref}), inline)
        await blobs.drop(self._bus, done.payload)

    async def _take_task(self, delivery: Delivery, record: JobRecord | None, pool: str, worker: str) -> bool:
        task, behind = codec.decode_with_payload(messages.StageTask, delivery.data)
        if not _is_wanted(record, task.attempt, delivery):
            return False
        if task.payload is None:
            raise inspection.OfferRefused(worker, "a task with its latent", "none")
        self._check_ref(task.payload, pool, worker)
        payload = await blobs.receive(self._bus, task.payload, behind, timeout=MISSING_S)
        inspection.check_task(task, payload, record, pool, worker)
        reports = inspection.known_reports(record, task.done)
        await self._stores.hand_over(task.model_copy(update={"payload": None, "done": reports}), payload)
        await blobs.drop(self._bus, task.payload)
        return True

    async def _free(self, spent: messages.Spent, pool: str, worker: str, job_id: str) -> None:
        if spent.checkpoint:
            _check_own(spent.checkpoint, subjects.checkpoints_of_lane, pool, worker)
        if spent.chunks is not None:
            self._check_ref(spent.chunks, pool, worker)
        await self._stores.forget(job_id, spent.chunks, spent.checkpoint)

    @staticmethod
    def _check_ref(ref: messages.PayloadRef, pool: str, worker: str) -> None:
        """Chunks must be in a lane that the worker may write to: it would have others' read, or dropped."""
        if ref.subject is not None:
            _check_own(ref.subject, subjects.blobs_in, pool, worker)

    @staticmethod
    def _check_lane(record: JobRecord, pool: str, worker: str) -> None:
        """Work that cannot be read does not say which stage it was."""
        if not any(stage.is_of(pool, worker) for stage in record.planned):
            raise inspection.OfferRefused(worker, "a job with a stage of its own", record.job_id)

    async def _count_in_vain(self, pool: str, worker: str, times: int = 1) -> None:
        now, seen = time.monotonic(), self._in_vain.setdefault(worker, deque(maxlen=MOST_IN_VAIN))
        seen.extend([now] * times)
        if len(seen) == MOST_IN_VAIN and now - seen[0] < WINDOW_S:
            seen.clear()
            await self._cut_off(pool, worker, "", f"{MOST_IN_VAIN} offers in vain within {WINDOW_S:g} s")

    async def _cut_off(self, pool: str, worker: str, job_id: str, why: str) -> None:
        """Take nothing more from the worker, and give its job to another, where it was its job."""
        log.warning("worker %s is cut off: %s", worker, why)
        await self._outcasts.add(worker, why)
        await streams.purge(self._bus, subjects.STREAM_OFFERS, subjects.offers_of_worker(pool, worker))
        held = await self._jobs.get(job_id) if job_id else None
        if held is None or held.record.finished:
            return
        own = [stage for stage in held.record.planned if stage.is_of(pool, worker)]
        if own:
            event = messages.StageFailed(
                job_id=job_id,
                attempt=held.record.attempt,
                at=time.time(),
                stage=own[-1].index,
                worker=worker,
                reason="OfferRefused",
                message=why,
                retriable=True,
            )
            await self._stores.event(event)


def _check_own(subject: str, of_lane: Callable[[str], str], pool: str, worker: str) -> None:
    """Raise OfferRefused unless it is one subject, in a lane of the worker's."""
    own = tuple(of_lane(subjects.lane(pool, name)).removesuffix(">") for name in (worker, None))
    if not subject.startswith(own) or set(subject) & set("*>"):
        raise inspection.OfferRefused(worker, "what is its own", subject)


def _is_wanted(record: JobRecord | None, attempt: int, delivery: Delivery) -> TypeGuard[JobRecord]:
    """False where nobody wants it any more. Raises Busy while the record that was read may be an old one."""
    if record is None or inspection.is_late(record, attempt):
        return False
    if inspection.is_early(record, attempt) and delivery.deliveries <= LOOKS:
        raise errors.Busy(f"attempt {attempt} of job {record.job_id} is not known yet")
    return True


def _check_preview(behind: bytes) -> None:
    """A PNG of a size that is not known beforehand. Raises InvalidInput."""
    width, height = png.size_of(behind)
    png.check(behind, width, height)
