"""The job driver: every accepted job gets a configuration, a head in a queue, and one ending.

It keeps nothing that is not in the bucket: a driver that starts reads all records and goes on, and several drivers
do no harm to each other, for each change of a record is a compare-and-swap and each message has its id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from rise_contracts import codec, errors, messages, privacy, subjects
from rise_contracts.records import Failure
from rise_runtime import endings, layout, plan
from rise_runtime.bounds import run_bounds
from rise_runtime.bus import Bus
from rise_runtime.customs import run_customs
from rise_runtime.driving import DriverSettings, Hands
from rise_runtime.heartbeat import Workers
from rise_runtime.jobs import Held, Jobs
from rise_runtime.pulls import Consumer, Delivery
from rise_runtime.streams import WrongRevision
from rise_runtime.sweeping import run_sweep

log = logging.getLogger(__name__)

_FOLLOWED = ("stage-started", "stage-done", "stage-failed", "job-done", "job-failed", "job-cancelled")
_LATER_S = 1.0
_Mail = tuple[messages.Event, Delivery]


async def run_driver(
    bus: Bus,
    *,
    stop: asyncio.Event | None = None,
    settings: DriverSettings | None = None,
    ready: asyncio.Event | None = None,
    leads: Callable[[], bool] = lambda: True,
) -> None:
    """Drive all jobs of the bus until `stop` is set or the task is cancelled.

    While `leads` says no, nothing is done: where one of several drivers is to act at a time, one that was frozen and
    wakes up asks the scheduler nothing. Raises BusUnavailable when the connection is closed for good.
    """
    async with layout.kept(bus):
        driver = _Driver(bus, settings or DriverSettings(), leads)
        await driver.run(stop or asyncio.Event(), ready or asyncio.Event())


@dataclass(slots=True)
class _Desk:
    """What the driver remembers of one job, all of it to be found out again after a restart."""

    held: Held
    mail: list[_Mail] = field(default_factory=list)
    changed_at: float = field(default_factory=time.monotonic)
    verified_at: float = 0.0
    """0 for a job that somebody else drove before: its work is looked for at once."""
    unserved_since: float | None = None
    ask_after: float = 0.0
    """The scheduler had nothing for this job: it is not asked again before this time."""
    busy: bool = False
    again: bool = False


class _Driver:
    def __init__(self, bus: Bus, settings: DriverSettings, leads: Callable[[], bool]) -> None:
        self._bus, self._settings, self._leads = bus, settings, leads
        self._jobs = Jobs(bus)
        self._hands = Hands(bus, self._jobs, settings)
        self._workers = Workers(bus)
        self._desks: dict[str, _Desk] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        parts = [
            asyncio.create_task(part)
            for part in (
                self._watch_jobs(ready),
                self._follow_events(),
                self._workers.run(),
                self._tick(),
                run_customs(self._bus),
                run_bounds(self._bus, self._settings.bounds_s, self._leads),
                run_sweep(self._bus, self._settings.sweep_s, self._leads, self._settings.forget_s),
            )
        ]
        ends = [asyncio.create_task(stop.wait()), asyncio.create_task(self._bus.closed.wait())]
        try:
            done, _ = await asyncio.wait([*parts, *ends], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self._bus.closed.is_set() and not stop.is_set():
                raise errors.BusUnavailable(self._bus.url, "the connection was closed for good")
        finally:
            for task in (*parts, *ends, *self._tasks):
                task.cancel()
            await asyncio.gather(*parts, *ends, *self._tasks, return_exceptions=True)

    async def _watch_jobs(self, ready: asyncio.Event) -> None:
        ready.set()
        async for job_id, held in self._jobs.watch(known=self._revision):
            if held is None:
                self._desks.pop(job_id, None)
            else:
                self._see(held)

    def _revision(self, job_id: str) -> int:
        desk = self._desks.get(job_id)
        return desk.held.revision if desk is not None else 0

    async def _follow_events(self) -> None:
        filters = tuple(subjects.event("*", kind) for kind in _FOLLOWED)
        consumer = Consumer(
            self._bus, subjects.STREAM_EVENTS, filters, durable=subjects.DURABLE_DRIVER, ack_wait_s=30.0, batch=64
        )
        await consumer.start()
        try:
            while True:
                delivery = await consumer.next()
                if delivery is not None:
                    await self._deliver(delivery)
        finally:
            await consumer.stop()

    async def _deliver(self, delivery: Delivery) -> None:
        """Put an event on the desk of its job. It is acknowledged when it has been taken into the record."""
        try:
            event, _ = codec.decode_event(delivery.data)
            desk = await self._desk_of(event.job_id)
        except errors.InvalidInput as error:
            log.warning("an event on %s, or the record of its job, is not understood: %s", delivery.subject, error)
            await delivery.term()
        except errors.RiseError as error:
            log.warning("an event on %s has to wait: %s", delivery.subject, error)
            await delivery.nak(_LATER_S)
        else:
            if desk is None:
                await delivery.ack(confirmed=False)
                return
            desk.mail.append((event, delivery))
            self._kick(desk)

    async def _desk_of(self, job_id: str) -> _Desk | None:
        """None for a job that is gone or over."""
        desk = self._desks.get(job_id)
        if desk is not None:
            return desk
        held = await self._jobs.get(job_id)
        return None if held is None or held.record.finished else self._see(held)

    async def _tick(self) -> None:
        """The clock's share: deadlines, backoff, lost workers, lost work, removal."""
        while True:
            await asyncio.sleep(self._settings.tick_s)
            for desk in tuple(self._desks.values()):
                if self._is_due(desk):
                    self._kick(desk)

    def _is_due(self, desk: _Desk) -> bool:
        """Whether the clock alone may have changed something. Cheap: this is asked of every job, all the time."""
        record = desk.held.record
        if record.finished or desk.mail or not isinstance(plan.next_action(record, time.time()), plan.Nothing):
            return True
        unserved = plan.unserved(record, self._workers.alive())
        return unserved is not None or bool(record.waiting_message) or self._is_unverified(desk)

    def _is_unverified(self, desk: _Desk) -> bool:
        looked_at = max(desk.changed_at, desk.verified_at)
        return desk.verified_at == 0.0 or time.monotonic() - looked_at > self._settings.verify_s

    def _see(self, held: Held) -> _Desk:
        """Take a record in, if it is news."""
        record = held.record
        desk = self._desks.get(record.job_id)
        if record.finished and record.request.spec.ttl_seconds_after_finished is None:
            self._desks.pop(record.job_id, None)
            return desk or _Desk(held)
        if desk is None:
            verified_at = time.monotonic() if record.decision is None else 0.0
            desk = self._desks[record.job_id] = _Desk(held, verified_at=verified_at)
        else:
            self._put(desk, held)
        self._kick(desk)
        return desk

    def _kick(self, desk: _Desk) -> None:
        """Look at the job soon; one look at a time per job."""
        if not self._leads():
            return
        if desk.busy:
            desk.again = True
            return
        desk.busy = True
        task = asyncio.create_task(self._work(desk))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, desk: _Desk) -> None:
        job_id = desk.held.record.job_id
        try:
            while True:
                desk.again = False
                await self._look(desk)
                if not desk.again and not desk.mail:
                    return
        except WrongRevision:
            await self._refresh(desk, job_id)
        except errors.RiseError as error:
            log.warning("job %s: %s; trying again", job_id, error)
        except Exception:
            log.exception("job %s: a look at it failed; trying again", job_id)
        finally:
            desk.busy = False

    async def _refresh(self, desk: _Desk, job_id: str) -> None:
        """Somebody else wrote the record: the next look is at theirs."""
        try:
            held = await self._jobs.get(job_id)
        except errors.RiseError as error:
            log.warning("job %s: %s; trying again", job_id, error)
            return
        self._put(desk, held)
        desk.verified_at = 0.0  # it may have been our own, of which only the answer was lost: what follows it is due
        asyncio.get_running_loop().call_soon(self._kick, desk)

    async def _look(self, desk: _Desk) -> None:
        """Take in the mail, then do what the record calls for until it calls for nothing."""
        await self._read_mail(desk)
        following: Held | None = desk.held
        while following is not None:
            if not desk.held.record.finished and self._is_unverified(desk):
                desk.verified_at = time.monotonic()
                self._put(desk, await self._hands.verify(desk.held))
            action = plan.next_action(desk.held.record, time.time())
            if isinstance(action, plan.Nothing):
                action = await self._inspect(desk)
            elif isinstance(action, plan.Ask):
                if time.monotonic() < desk.ask_after:
                    return
                desk.ask_after = time.monotonic() + self._settings.ask_again_s
            following = await self._hands.act(desk.held, action)
            self._put(desk, following)

    def _put(self, desk: _Desk, held: Held | None) -> None:
        if held is not None and held.revision > desk.held.revision:
            if held.record.attempt != desk.held.record.attempt:
                desk.ask_after = 0.0
            desk.held, desk.changed_at = held, time.monotonic()

    async def _read_mail(self, desk: _Desk) -> None:
        """Bring the record up to the events; acknowledge them once it is stored."""
        mail = tuple(desk.mail)
        if not mail:
            return
        record = desk.held.record
        for event, _ in mail:
            record = plan.applied(record, event)
        if record != desk.held.record:
            self._put(desk, await self._jobs.replace(desk.held, record))
        for event, _ in mail:
            await self._answer(desk, event)
        for item in mail:
            desk.mail.remove(item)
            await item[1].ack(confirmed=False)

    async def _answer(self, desk: _Desk, event: messages.Event) -> None:
        """Events that call for more than a note in the record."""
        if isinstance(event, messages.JobDone | messages.JobFailed | messages.JobCancelled):
            self._put(desk, await self._hands.conclude(desk.held, event, announced=True))
        elif isinstance(event, messages.StageFailed):
            spec = desk.held.record.request.spec
            message = privacy.without(event.message, spec.prompt, spec.negative_prompt)  # whoever said it
            failure = Failure(reason=event.reason, message=message, attempt=event.attempt)
            retriable, now = event.retriable, time.time()
            action = plan.failed(desk.held.record, failure, now, retriable=retriable, avoid=event.worker)
            self._put(desk, await self._hands.act(desk.held, action))

    async def _inspect(self, desk: _Desk) -> plan.Action:
        """What the record cannot tell: is somebody there for it, is its work still somewhere, is it to go?"""
        record = desk.held.record
        if record.finished:
            await self._expire(desk)
            return plan.Nothing()
        now = time.monotonic()
        if now - desk.changed_at > self._settings.keep_s:
            return plan.Become(record)
        return self._unserved(desk, now)

    def _unserved(self, desk: _Desk, now: float) -> plan.Action:
        """A stage without any living worker: wait for one, then let the scheduler choose among those who are there."""
        record, alive = desk.held.record, self._workers.alive()
        why = plan.unserved(record, alive)
        if why is None:
            desk.unserved_since = None
            return plan.noted(record, "")
        desk.unserved_since = desk.unserved_since or now
        since = now - desk.unserved_since
        if since < self._settings.grace_s or not alive:
            # A moment's pause keeps the noise of starting up out of the record.
            return plan.noted(record, why) if since >= self._settings.grace_s / 5 else plan.Nothing()
        desk.unserved_since = None
        stage = plan.current_stage(record)
        lost = stage.worker if stage is not None and stage.worker is not None else ""
        failure = Failure(reason="WorkerLost", message=why, attempt=record.attempt)
        return plan.failed(record, failure, time.time(), avoid=lost)

    async def _expire(self, desk: _Desk) -> None:
        record = desk.held.record
        ttl = record.request.spec.ttl_seconds_after_finished
        if ttl is not None and record.finished_at is not None and time.time() >= record.finished_at + ttl:
            await endings.remove_job(self._bus, record.job_id)
            self._desks.pop(record.job_id, None)
