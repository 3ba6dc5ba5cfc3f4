"""What the driver does for one job: carry out what `plan` says. Every step may be repeated, by any driver."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from rise_contracts import codec, errors, messages, subjects
from rise_contracts.records import Failure, JobRecord, JobState, Waiting
from rise_runtime import endings, layout, plan, services, streams, tasks, telemetry
from rise_runtime.bus import Bus
from rise_runtime.fences import Fences
from rise_runtime.jobs import Held, Jobs
from rise_runtime.sweeping import FORGET_S

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DriverSettings:
    """`ask_timeout_s`: how long the scheduler may think; `grace_s`: how long a stage may be without any worker
    before the job is scheduled anew; `verify_s`: how often a quiet job's work is looked for in the queues; `keep_s`:
    how often the record of a job that does not change is written again, so that the bucket does not forget it;
    `sweep_s`: how often bytes are looked for that nobody knows of any more; `bounds_s`: how often it is counted what
    devices have stored; `forget_s`: for how long a mark is kept where a job was removed."""

    ask_timeout_s: float = 2.0
    ask_again_s: float = 0.5
    grace_s: float = 2 * subjects.WORKER_TTL_S
    verify_s: float = 10.0
    tick_s: float = 0.25
    keep_s: float = 3600.0
    sweep_s: float = 10.0
    bounds_s: float = 3.0
    forget_s: float = FORGET_S


class Hands:
    """The acting half of the driver."""

    def __init__(self, bus: Bus, jobs: Jobs, settings: DriverSettings) -> None:
        self._bus, self._jobs, self._settings = bus, jobs, settings
        self._fences = Fences(bus)
        self._pools: set[str] = set()

    async def act(self, held: Held, action: plan.Action) -> Held | None:
        """Carry `action` out. What there is to look at next, or None to wait. Raises WrongRevision: look again."""
        match action:
            case plan.Nothing():
                return None
            case plan.Become(record):
                return await self._jobs.replace(held, record)
            case plan.Ask():
                return await self._ask(held)
            case plan.Retry(record, failure):
                return await self._retry(held, record, failure)
            case plan.Withdraw(record):
                return await self._withdraw(held, record)
            case plan.Fail(failure):
                return await self._fail(held, failure)

    async def conclude(self, held: Held, ending: messages.Ending, *, announced: bool = False) -> Held | None:
        """The job has this ending: tell the scheduler, then write it into the record. `announced` as in `settle`."""
        if held.record.finished:
            return held
        if not isinstance(ending, messages.JobCancelled):
            await self._send_outcome(plan.outcome(held.record, ending))
        log.info("job %s: %s", ending.job_id, ending.kind)
        telemetry.JOBS.labels(ending.kind).inc()
        telemetry.JOB_SECONDS.labels(ending.kind).observe(max(0.0, ending.at - held.record.request.accepted_at))
        return await endings.settle(self._bus, held, ending, announced=announced)

    async def dispatch(self, held: Held) -> None:
        """Put the head of a scheduled job into its queue, once however often this is called."""
        task = plan.head_task(held.record)
        pools = {stage.pool for stage in task.configuration.stages} - self._pools
        admitting = self._fences.admit(task.job_id, task.attempt)
        await asyncio.gather(admitting, *(layout.ensure_pool(self._bus, pool) for pool in pools))
        self._pools |= pools
        await tasks.send(self._bus, task)

    async def verify(self, held: Held) -> Held | None:
        """Look where the job's work is. At every moment a job under way has a task in a queue, an offer that nobody has
        looked at, or an ending.

        Work that a fence has cut off is dropped wherever it turns up, and another attempt is made. That something is
        not there is asked of who leads: a server that is behind would have a job done twice. The record as it is
        afterwards, where this changed it.
        """
        record = held.record
        past = record.decision is not None and await self._fences.is_past(record.job_id, record.attempt)
        if not past and await self._is_at_work(record):
            return None
        ended = await endings.certain(self._bus, record.job_id)
        if ended is not None:
            return await self.conclude(held, ended[0])  # whoever stored it died before saying so
        if past:
            return await self._withdraw(held, plan.passed(record))
        if record.state is JobState.SCHEDULED:
            await self.dispatch(held)
        elif record.state is JobState.RUNNING:
            failure = Failure(reason="WorkLost", message="its work is in no queue any more", attempt=record.attempt)
            return await self.act(held, plan.failed(record, failure, time.time()))
        return None

    async def _ask(self, held: Held) -> Held | None:
        record = held.record
        question = messages.Configure(request=record.request, attempt=record.attempt, avoid=record.avoid)
        try:
            decision = await services.ask(
                self._bus, subjects.CONFIGURE, question, messages.Decision, timeout=self._settings.ask_timeout_s
            )
        except errors.RemoteError as error:
            if not error.retriable:
                failure = Failure(reason=error.reason, message=str(error), attempt=record.attempt)
                return await self._fail(held, failure)
            return await self._wait(held, Waiting.NO_CONFIGURATION, str(error))
        except (errors.Busy, errors.Waited) as error:
            return await self._wait(held, Waiting.SCHEDULER_AWAY, f"no scheduler answers ({error})")
        except errors.InvalidInput as error:
            return await self._wait(
                held, Waiting.NO_CONFIGURATION, f"the scheduler's answer is not understood: {error}"
            )
        following = await self._jobs.replace(held, plan.scheduled(record, decision, time.time()))
        await self.dispatch(following)
        return following

    async def _wait(self, held: Held, reason: Waiting, message: str) -> Held | None:
        """Say in the record why it waits; the same said again is not written again."""
        if (held.record.waiting_reason, held.record.waiting_message) == (reason, message[:500]):
            return None
        return await self._jobs.replace(held, plan.waiting(held.record, reason, message[:500]))

    async def _retry(self, held: Held, following: JobRecord, failure: Failure) -> Held:
        """The next attempt: the fence first, then the record; then stop what the old one left behind."""
        log.warning("job %s: attempt %d failed: %s", following.job_id, failure.attempt, failure.message)
        await self._fences.admit(following.job_id, following.attempt)
        now = await self._jobs.replace(held, following)
        telemetry.ATTEMPTS_FAILED.labels(failure.reason).inc()
        await endings.stop_work(self._bus, held.record, failure.attempt)
        await self._send_outcome(plan.outcome_of_failed_attempt(held.record, time.time()))
        return now

    async def _withdraw(self, held: Held, following: JobRecord) -> Held:
        """As in a retry the fence comes first. The scheduler is told nothing: its decision was not put to the test."""
        await self._fences.admit(following.job_id, following.attempt)
        now = await self._jobs.replace(held, following)
        await endings.stop_work(self._bus, held.record, held.record.attempt)
        return now

    async def _fail(self, held: Held, failure: Failure) -> Held | None:
        ending = messages.JobFailed(
            job_id=held.record.job_id,
            attempt=held.record.attempt,
            at=time.time(),
            reason=failure.reason,
            message=failure.message,
        )
        kept = await endings.keep(self._bus, ending)
        return await self.conclude(held, kept.ending)

    async def _send_outcome(self, outcome: messages.Outcome | None) -> None:
        if outcome is not None:
            data = codec.encode(outcome)
            await streams.store(self._bus, subjects.OUTCOMES, data, msg_id=outcome.decision_id)

    async def _is_at_work(self, record: JobRecord) -> bool:
        """Whether a task or an offer of the job is somewhere. Stages are looked at in the order in which work moves on,
        so that none is missed between two looks."""
        for stage in record.planned:
            subject = subjects.work(stage.pool, stage.worker, record.job_id, record.attempt)
            if await self._is_queued(stage.pool, subject) or await self._is_offered(record.job_id):
                return True
        return False

    async def _is_offered(self, job_id: str) -> bool:
        """Whether something that a device made of the job waits to be looked at."""
        return await streams.count(self._bus, subjects.STREAM_OFFERS, subjects.offers_of_job(job_id)) > 0

    async def _is_queued(self, pool: str, subject: str) -> bool:
        stream = subjects.work_stream(pool)
        try:
            queued = await streams.last(self._bus, stream, subject) or await streams.leading(self._bus, stream, subject)
        except errors.NoResponder:
            return False  # the pool has no queue (yet)
        return queued is not None
