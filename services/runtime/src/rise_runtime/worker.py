"""The worker loop: take tasks while there is a slot for them, work each off, take the next.

Tasks in different slots know nothing of each other: each has its own delivery, keep-alive, fence and end. Where the
handler says that it is full, tasks are left in the queue, for a worker with room or until there is some here: what
was taken is worked off, and nothing is given back for want of room. A task that has not survived half of its starts
is worked on alone: should it be what kills its workers, no other goes down with it for good.

A task that fails says so to the driver, which decides about another attempt; one that cannot be read goes to the
dead letters; one that is interrupted goes back into the queue.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from rise_contracts import codec, errors, messages, privacy, subjects
from rise_runtime import customs, layout, streams, tasks, telemetry
from rise_runtime.bus import Bus, Incoming
from rise_runtime.fences import Fences
from rise_runtime.heartbeat import Heart
from rise_runtime.pulls import Consumer, Delivery
from rise_runtime.reporter import reporter_of
from rise_runtime.running import Bench, Running
from rise_runtime.seam import Identity, StageHandler, StatusSource, Stopped, Stuck, WorkerStatus
from rise_runtime.together import meanwhile

log = logging.getLogger(__name__)

DRAINING = "draining"
_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`ack_wait_s`: how long a dead worker keeps its task; `max_deliver`: how often a task is started; `drain_s`: the
    time to stop that a stage has when its worker is told to; `stall_s`: how long a stage may give no sign of life,
    the loading of its member included; `slots`: how many tasks are worked on at once."""

    ack_wait_s: float = layout.ACK_WAIT_S
    max_deliver: int = layout.MAX_DELIVER
    drain_s: float = 20.0
    stall_s: float = 900.0
    slots: int = 1


async def run_worker(
    bus: Bus,
    identity: Identity,
    handler: StageHandler,
    *,
    status: StatusSource = WorkerStatus,
    prepare: Callable[[], None] | None = None,
    stop: asyncio.Event | None = None,
    settings: WorkerSettings | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Work until `stop` is set. `prepare` (loading models) runs first, on one of the threads that call the handler.

    Raises what `prepare` raises, Stuck where a stage hangs, and BusUnavailable when the connection is closed for good.
    `prepare` or a stage may be under way still when this ends: leave the process by `signals.leave`.
    """
    worker = _Worker(bus, identity, handler, status, stop or asyncio.Event(), settings or WorkerSettings())
    if identity.tier == "device":
        await worker.run(prepare, on_ready)
        return
    async with layout.kept(bus, identity.pool), customs.at_work(bus):
        await worker.run(prepare, on_ready)


class _Worker:
    def __init__(
        self,
        bus: Bus,
        identity: Identity,
        handler: StageHandler,
        status: StatusSource,
        stop: asyncio.Event,
        settings: WorkerSettings,
    ) -> None:
        self._bus, self._identity, self._stop, self._settings = bus, identity, stop, settings
        self._status = status
        self._threads = ThreadPoolExecutor(max_workers=settings.slots, thread_name_prefix="stage")
        self._working: set[asyncio.Task[None]] = set()
        self._running: list[Running] = []
        self._suspects: list[Delivery] = []
        self._changed, self._broken = asyncio.Event(), asyncio.Event()
        self._failures: list[BaseException] = []
        self._own = self._queue(identity.name)
        self._consumers = (self._own,) if identity.private else (self._own, self._queue(None))
        self._heart = Heart(bus, identity, status, self._busy_jobs, settings.slots, self._consumers[-1])
        keepalive = min(1.0, settings.ack_wait_s / 4)
        self._reporter = reporter_of(bus, identity)
        self._bench = Bench(
            bus, Fences(bus), self._reporter, identity, handler, self._threads, self._heart, keepalive, settings.stall_s
        )

    async def run(self, prepare: Callable[[], None] | None, on_ready: Callable[[], None] | None) -> None:
        if prepare is not None and not await self._prepared(prepare):
            return
        cancels = await self._bus.subscribe(subjects.ALL_CANCELS, self._cancel)
        if not await self._found_queues():
            return
        await self._heart.beat()
        try:
            async with meanwhile(self._heart.run()):
                log.info("worker %s takes work of pool %s", self._identity.name, self._identity.pool)
                if on_ready is not None:
                    on_ready()
                await self._loop()
        finally:
            await cancels.stop()
            for consumer in self._consumers:
                await consumer.stop(delete=consumer is self._own)
            await self._heart.leave()
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _prepared(self, prepare: Callable[[], None]) -> bool:
        """Whether it is done. It may take minutes, and a worker that is told to stop does not wait for it."""
        preparing = asyncio.get_running_loop().run_in_executor(self._threads, prepare)
        await self._unless_stopped(preparing)
        if preparing.done():
            preparing.result()
        return preparing.done()

    async def _found_queues(self) -> bool:
        """Whether it can take work: the pool's queue is made by others where it may not be made here, as soon as they
        hear of this worker. False when told to stop first."""
        while not self._is_over:
            try:
                await asyncio.gather(*(consumer.start() for consumer in self._consumers))
            except (streams.JetStreamError, errors.Waited) as error:
                # Of several servers none answers for a queue that was only just made, until they have agreed on one.
                if isinstance(error, streams.JetStreamError) and error.code != 404:
                    raise
                await self._heart.arrive()
                await self._unless_stopped(asyncio.ensure_future(asyncio.sleep(_AGAIN_S)))
            else:
                return True
        return False

    async def _unless_stopped(self, work: asyncio.Future[Any]) -> None:
        """Wait until `work` is done, or until told to stop."""
        stopping = asyncio.create_task(self._stop.wait())
        either: set[asyncio.Future[Any]] = {work, stopping}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()

    async def _loop(self) -> None:
        try:
            while not self._is_over:
                if self._free > 0:
                    own = await self._own.waiting()
                    if own is not None:
                        self._begin(own)
                    else:
                        await self._take()
                else:
                    await self._until_changed()
        finally:
            if self._working:
                await self._drain()
        for failure in self._failures:
            raise failure

    @property
    def _is_over(self) -> bool:
        return self._stop.is_set() or self._broken.is_set()

    @property
    def _free(self) -> int:
        """How many tasks may be taken now. An idle worker takes one, however full its handler thinks it is."""
        if self._suspects or (self._working and self._status().full):
            return 0
        return self._settings.slots - len(self._working)

    async def _until_changed(self) -> None:
        """Wait until a task has ended, or until told to stop."""
        self._changed.clear()
        changing = asyncio.ensure_future(self._changed.wait())
        await self._unless_stopped(changing)
        changing.cancel()

    def _begin(self, delivery: Delivery) -> None:
        if self._settings.slots > 1 and delivery.deliveries > self._settings.max_deliver // 2:
            self._suspects.append(delivery)
        work = asyncio.create_task(self._work(delivery))
        self._working.add(work)
        work.add_done_callback(lambda work: self._ended(work, delivery))

    def _ended(self, work: asyncio.Task[None], delivery: Delivery) -> None:
        self._working.discard(work)
        self._suspects = [suspect for suspect in self._suspects if suspect is not delivery]
        self._changed.set()
        if not work.cancelled() and (failure := work.exception()) is not None:
            self._failures.append(failure)
            self._broken.set()

    async def _drain(self) -> None:
        """Told to stop in mid-task: end within a step and give it back, so that another worker takes it now."""
        for running in self._running:
            running.context.stop(DRAINING)
        await self._heart.retire()
        if working := set(self._working):
            await asyncio.wait(working, timeout=self._settings.drain_s)
        left = set(self._working)
        for work in left:
            log.warning("a stage does not stop; its task goes to another worker when its time is up")
            work.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _take(self) -> None:
        """Begin the next task of either queue, of both where there are slots for both, or none when told to stop.

        What waits in the worker's own queue was looked for before: were both asked while both are full, one of two
        tasks would be given back each time, and in the end be taken for one that nobody survives.
        """
        waits = [asyncio.create_task(consumer.next()) for consumer in self._consumers]
        events = (self._stop, self._broken, self._bus.closed)
        signals = [asyncio.create_task(event.wait()) for event in events]
        await asyncio.wait([*waits, *signals], return_when=asyncio.FIRST_COMPLETED)
        for signal in signals:
            signal.cancel()
        for wait in waits:
            wait.cancel()
            await asyncio.gather(wait, return_exceptions=True)
            delivery = None if wait.cancelled() else wait.result()
            if delivery is not None and self._free > 0 and not self._is_over and not self._bus.closed.is_set():
                self._begin(delivery)
            elif delivery is not None:
                await delivery.nak()
        # Not before: it is at work meanwhile.
        await asyncio.gather(*(consumer.pause() for consumer in self._consumers))
        if self._bus.closed.is_set():
            raise errors.BusUnavailable(self._bus.url, "the connection was closed for good")

    async def _work(self, delivery: Delivery) -> None:
        """Work off one delivery, unless there is nothing to work off."""
        try:
            task, behind = tasks.read(delivery.data)
        except errors.InvalidInput as error:
            await self._reject(delivery, f"its task cannot be read: {error}")
            return
        if any(running.delivery.stream_sequence == delivery.stream_sequence for running in self._running):
            log.info("job %s: delivered again while it is worked on here", task.job_id)
            return  # the first delivery is being kept alive, and its end is the end of both
        if delivery.deliveries > self._settings.max_deliver:
            await self._reject(delivery, f"its task was started {delivery.deliveries - 1} times and never finished")
            return
        running = Running(self._bench, delivery, task, behind, self._turn_of)
        self._running.append(running)
        if self._is_over:
            running.context.stop(DRAINING)
        try:
            await self._run(running)
        finally:
            self._running.remove(running)

    async def _run(self, running: Running) -> None:
        """Whatever happens, say what it means for the job."""
        task, delivery = running.task, running.delivery
        result = "done"
        try:
            await running.run()
        except Stopped as stopped:
            result = "stopped"
            log.info("job %s: stopped (%s)", task.job_id, stopped)
            if str(stopped) == DRAINING:
                await delivery.nak()
            else:
                await running.forget()
                await delivery.ack()
        except Stuck:
            result = "stuck"
            await delivery.nak()
            raise
        except errors.Busy as busy:
            result = "given-back"
            log.info("job %s: given back: %s", task.job_id, busy)
            await delivery.nak(busy.retry_after)
        except (errors.BusUnavailable, errors.Waited) as error:
            result = "given-back"
            log.warning("job %s: not finished, it will be delivered again: %s", task.job_id, error)
        except errors.RiseError as error:
            result = "failed"
            retriable = error.retriable or isinstance(error, errors.NotFound | errors.DiskFull)
            await self._fail(delivery, task, error.reason, str(error), retriable=retriable)
        except Exception as error:
            result = "failed"
            text = " ".join(f"{type(error).__name__}: {error}".split())
            # The lines of code; what the error says, which may be the prompt, is said below, without that.
            trace = (type(error), Exception("as told below"), error.__traceback__)
            log.error("job %s: stage %d failed", task.job_id, task.stage_index, exc_info=trace)
            await self._fail(delivery, task, "StageFailed", text[:1000], retriable=True)
        finally:
            member = task.configuration.stages[task.stage_index].member
            telemetry.STAGES.labels(self._identity.tier, member, result).inc()

    async def _turn_of(self, delivery: Delivery) -> None:
        """Wait until it may begin: a suspect when the others have ended, one suspect after another."""
        while delivery in self._suspects:
            if delivery is self._suspects[0] and all(other.delivery in self._suspects for other in self._running):
                return
            self._changed.clear()
            await self._changed.wait()

    async def _fail(
        self, delivery: Delivery, task: messages.StageTask, reason: str, text: str, *, retriable: bool
    ) -> None:
        """Tell the driver, then acknowledge: another attempt is its decision."""
        spec = task.request.spec
        text = privacy.without(text, spec.prompt, spec.negative_prompt)
        log.warning("job %s: stage %d failed: %s", task.job_id, task.stage_index, text)
        event = messages.StageFailed(
            job_id=task.job_id,
            attempt=task.attempt,
            at=time.time(),
            stage=task.stage_index,
            worker=self._identity.name,
            reason=reason,
            message=text,
            retriable=retriable,
        )
        await self._tell(delivery, self._reporter.event(event))

    async def _tell(self, delivery: Delivery, telling: Awaitable[None]) -> None:
        """Have it told, then acknowledge. Where that fails the task comes again."""
        try:
            await telling
        except errors.RiseError as error:
            log.warning("the failure on %s could not be told, it will be tried again: %s", delivery.subject, error)
            return
        await delivery.ack()

    async def _reject(self, delivery: Delivery, why: str) -> None:
        """A task that nobody can do: keep it among the dead letters and let the driver end its job.

        JetStream's own bound on deliveries is not used: it leaves the message lying, and says so only over an
        advisory that nobody may hear.
        """
        try:
            event = _dead_letter(delivery.subject, self._identity.name, why)
        except ValueError:
            log.warning("a message on %s is of no job, and is thrown away", delivery.subject)
            await delivery.term()
            return
        key = f"dead.{delivery.subject}.{delivery.stream_sequence}"
        await self._tell(delivery, self._reporter.give_up(event, delivery.data, key))

    async def _cancel(self, message: Incoming) -> None:
        cancel = codec.decode(messages.Cancel, message.data)
        for running in self._running:
            if running.task.job_id == cancel.job_id and running.task.attempt <= cancel.attempt:
                running.context.stop("cancelled")

    def _busy_jobs(self) -> tuple[str, ...]:
        return tuple(running.task.job_id for running in self._running)

    def _queue(self, worker: str | None) -> Consumer:
        me, made = self._identity, self._identity.tier == "edge"
        return layout.queue(self._bus, me.pool, worker, ack_wait_s=self._settings.ack_wait_s, made=made)


def _dead_letter(subject: str, worker: str, why: str) -> messages.StageFailed:
    """What to say of a task that was given up. Raises ValueError where its subject names no job."""
    job_id, attempt = subjects.job_of_work(subject)
    return messages.StageFailed(
        job_id=job_id,
        attempt=attempt,
        at=time.time(),
        stage=0,
        worker=worker,
        reason="DeadLettered",
        message=why,
        retriable=False,
    )
