"""What to do about a job: pure functions from a record and what is known to a new record or an action.

Level-triggered: the answer depends on where things stand, never on which event led there, so that a driver that
was away goes on by looking.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from rise_contracts import messages
from rise_contracts.configuration import Stage
from rise_contracts.records import Failure, JobRecord, JobState, ResultRef, StageStatus, Waiting

MOST_BACKOFF_S = 30.0


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing to do now; something happens, or the clock does."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the scheduler for a configuration."""


@dataclass(frozen=True, slots=True)
class Become:
    """Write this record."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Retry:
    """Begin the next attempt with `record`; `failure` is what ended this one."""

    record: JobRecord
    failure: Failure


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Write `record`, and stop what the attempt before it left at work; nothing has failed."""

    record: JobRecord


@dataclass(frozen=True, slots=True)
class Fail:
    """End the job."""

    failure: Failure


Action = Nothing | Ask | Become | Retry | Withdraw | Fail


def next_action(record: JobRecord, now: float) -> Action:
    """What the record itself calls for at time `now` (Unix seconds)."""
    if record.finished:
        return Nothing()
    spec = record.request.spec
    if record.state is JobState.SUSPENDED:
        return Nothing() if spec.suspend else Become(resumed(record, now))
    late = overdue(record, now)
    if late is not None:
        return Fail(late)
    if record.state is JobState.PENDING:
        if spec.suspend:
            return Become(_asleep(record))
        return Nothing() if now < record.not_before else Ask()
    return Withdraw(suspended(record)) if spec.suspend else Nothing()


def suspended(record: JobRecord) -> JobRecord:
    """A job under way is put aside. Its work is given up, and its time to finish counts anew once it is resumed: as
    with a Kubernetes Job (KEP-2232)."""
    return _asleep(_anew(record))


def resumed(record: JobRecord, now: float) -> JobRecord:
    """A suspended job waits to be scheduled again."""
    return _with(waiting(record, Waiting.ACCEPTED, "resumed"), resumed_at=now)


def passed(record: JobRecord) -> JobRecord:
    """A job whose fence is ahead of it goes on to the next attempt. Nothing has failed: somebody was about to bring it
    there, and died, or found the record changed."""
    return waiting(_anew(record), Waiting.ACCEPTED, "its attempt was given up")


def overdue(record: JobRecord, now: float) -> Failure | None:
    """The deadline that has passed, if one has. The time to start counts from acceptance, or from when the
    RelayJob was made, the time to finish from the first start of a head; both anew once a suspended job is resumed."""
    spec = record.request.spec
    if spec.start_deadline_seconds is not None and record.started_at is None:
        waited = now - (record.resumed_at or record.request.accepted_at)
        if waited > spec.start_deadline_seconds:
            why = f"; it was waiting: {record.waiting_reason} {record.waiting_message}".rstrip()
            text = f"not started within {spec.start_deadline_seconds:g} s{why}"
            return Failure(reason="StartDeadlineExceeded", message=text, attempt=record.attempt)
    if spec.active_deadline_seconds is None or record.started_at is None:
        return None
    if now - record.started_at <= spec.active_deadline_seconds:
        return None
    text = f"not finished within {spec.active_deadline_seconds:g} s of its start"
    return Failure(reason="ActiveDeadlineExceeded", message=text, attempt=record.attempt)


def waiting(record: JobRecord, reason: Waiting, message: str, not_before: float = 0.0) -> JobRecord:
    """The job waits to be scheduled, and says why."""
    return _with(record, state=JobState.PENDING, waiting_reason=reason, waiting_message=message, not_before=not_before)


def scheduled(record: JobRecord, decision: messages.Decision, now: float) -> JobRecord:
    """The job has a configuration; its head goes into the queue next."""
    stages = tuple(StageStatus(index=stage.index) for stage in decision.configuration.stages)
    return _with(
        record,
        state=JobState.SCHEDULED,
        decision=decision,
        stages=stages,
        scheduled_at=now,
        waiting_reason=Waiting.IN_QUEUE,
        waiting_message="",
        not_before=0.0,
    )


def head_task(record: JobRecord) -> messages.StageTask:
    """The first stage's task of a scheduled job."""
    if record.decision is None:
        raise ValueError(f"job {record.job_id} has no decision: this is a bug, please report it")
    return messages.StageTask(
        job_id=record.job_id,
        attempt=record.attempt,
        stage_index=0,
        request=record.request,
        configuration=record.decision.configuration,
    )


def applied(record: JobRecord, event: messages.Event) -> JobRecord:
    """The record after an event of its stages. Events of other attempts, and late ones, change nothing."""
    if record.finished or event.attempt != record.attempt or record.decision is None:
        return record
    if isinstance(event, messages.StageStarted):
        return _started(record, event)
    if isinstance(event, messages.StageDone):
        return _with_stage(record, event.stage, worker=event.worker, report=event.report)
    return record


def failed(record: JobRecord, failure: Failure, now: float, *, retriable: bool = True, avoid: str = "") -> Action:
    """After a failed attempt: another one, later each time, or the end. Failures of other attempts do nothing."""
    if record.finished or failure.attempt != record.attempt:
        return Nothing()
    failures = (*record.failures, failure)
    if not retriable:
        return Fail(failure)
    limit = record.request.spec.backoff_limit
    if len(failures) > limit:
        if limit == 0:
            return Fail(failure)
        text = f"{len(failures)} attempts failed (backoffLimit {limit}); the last: {failure.reason}: {failure.message}"
        return Fail(Failure(reason="BackoffLimitExceeded", message=text, attempt=record.attempt))
    pause = 0.0 if len(failures) == 1 else min(MOST_BACKOFF_S, 2.0 ** (len(failures) - 2))
    following = _with(
        _anew(record),
        state=JobState.PENDING,
        failures=failures,
        avoid=tuple(dict.fromkeys((*record.avoid, avoid)))[-8:] if avoid else record.avoid,
        waiting_reason=Waiting.BACKOFF,
        waiting_message=f"attempt {record.attempt} failed ({failure.reason}: {failure.message})",
        not_before=now + pause,
    )
    return Retry(following, failure)


def concluded(record: JobRecord, ending: messages.Ending) -> JobRecord:
    """The final record. One that is final already stays as it is."""
    if record.finished:
        return record
    common = {"waiting_reason": None, "waiting_message": "", "finished_at": ending.at, "not_before": 0.0}
    if isinstance(ending, messages.JobCancelled):
        return _with(record, state=JobState.CANCELLED, **common)
    if isinstance(ending, messages.JobFailed):
        error = Failure(reason=ending.reason, message=ending.message, attempt=ending.attempt)
        return _with(record, state=JobState.FAILED, error=error, **common)
    result = ResultRef(
        digest=ending.digest,
        nbytes=ending.nbytes,
        images=ending.images,
        worker=ending.worker,
        attempt=ending.attempt,
    )
    stages = tuple(
        StageStatus(index=report.stage, worker=report.worker, started_at=report.started_at, report=report)
        for report in ending.stages
    )
    first = stages[0].started_at if stages else None
    started = record.started_at if record.started_at is not None else first
    return _with(record, state=JobState.COMPLETE, result=result, stages=stages, started_at=started, **common)


def went_straight(record: JobRecord, ending: messages.Ending) -> bool:
    """Whether the job was done in its first attempt, each stage by the first worker that began it: nobody is at it
    any more, and its tasks leave the queues with their acknowledgements."""
    done = isinstance(ending, messages.JobDone) and ending.attempt == record.attempt == 1
    return done and all(status.delivery <= 1 for status in record.stages)


def outcome(record: JobRecord, ending: messages.JobDone | messages.JobFailed) -> messages.Outcome | None:
    """What the scheduler learns from the end of the job; None where it had decided nothing.

    A result of an earlier attempt, stored just as the record went on to the next, says nothing about the decision
    that the record holds now.
    """
    if isinstance(ending, messages.JobFailed):
        return _outcome(record, reports(record), ending.at, failed=True)
    return _outcome(record, ending.stages, ending.at, failed=False) if ending.attempt == record.attempt else None


def outcome_of_failed_attempt(record: JobRecord, now: float) -> messages.Outcome | None:
    """What the scheduler learns from an attempt that another one follows."""
    return _outcome(record, reports(record), now, failed=True)


def current_stage(record: JobRecord) -> Stage | None:
    """The stage that is waiting or running now."""
    if record.decision is None or record.finished:
        return None
    done = {status.index for status in record.stages if status.report is not None}
    return next((stage for stage in record.decision.configuration.stages if stage.index not in done), None)


def unserved(record: JobRecord, alive: Collection[messages.Heartbeat]) -> str | None:
    """Why nobody can take the current stage, or None where somebody can."""
    stage = current_stage(record)
    if stage is None:
        return None
    if stage.worker is not None:
        there = any(beat.worker == stage.worker for beat in alive)
        return None if there else f"worker {stage.worker}, which stage {stage.index} is bound to, is not alive"
    there = any(beat.pool == stage.pool for beat in alive)
    return None if there else f"no worker of pool {stage.pool}, which stage {stage.index} needs, is alive"


def noted(record: JobRecord, why: str) -> Action:
    """Say in the record why nobody takes the stage ("" once somebody can), unless it says so already."""
    if record.finished or record.decision is None or record.waiting_message == why:
        return Nothing()
    reason = Waiting.IN_QUEUE if why or record.state is JobState.SCHEDULED else None
    return Become(_with(record, waiting_reason=reason, waiting_message=why))


def reports(record: JobRecord) -> tuple[messages.StageReport, ...]:
    return tuple(status.report for status in record.stages if status.report is not None)


def edge_seconds(done: Collection[messages.StageReport]) -> float:
    """What of the edge's time was spent on these stages. Stages that share a worker do not cost it their sum."""
    own = (report for report in done if report.tier == "edge")
    return sum(report.earlier_seconds + max(0.0, report.seconds - report.timings.get("waited", 0.0)) for report in own)


def _load_seconds(report: messages.StageReport) -> float:
    """What of a stage's seconds was loading, as its worker says; never more than all of them."""
    return min(max(report.timings.get("load", 0.0), 0.0), report.seconds)


def _outcome(
    record: JobRecord, done: Collection[messages.StageReport], at: float, *, failed: bool
) -> messages.Outcome | None:
    decision = record.decision
    if decision is None:
        return None
    # A later attempt is not to blame for the time that the ones before it took.
    since = record.request.accepted_at if record.attempt == 1 else (record.scheduled_at or at)
    starts = [status.started_at for status in record.stages if status.started_at is not None]
    starts += [report.started_at for report in done]
    return messages.Outcome(
        decision_id=decision.id,
        job_id=record.job_id,
        arm=decision.arm,
        policy=decision.policy,
        context=decision.context,
        propensity=decision.propensity,
        preference=record.request.spec.preference,
        latency_s=max(0.0, at - since),
        wait_s=max(0.0, min(starts, default=at) - since),
        edge_s=edge_seconds(done),
        stage_seconds=tuple(report.earlier_seconds + report.seconds for report in done),
        load_seconds=tuple(_load_seconds(report) for report in done),
        bytes_handed=sum(report.handoff_bytes for report in done),
        failed=failed,
        at=at,
    )


def _asleep(record: JobRecord) -> JobRecord:
    """Suspended. An attempt before this one may have started the clock."""
    state, reason = JobState.SUSPENDED, Waiting.SUSPENDED
    return _with(record, state=state, started_at=None, waiting_reason=reason, waiting_message="")


def _anew(record: JobRecord) -> JobRecord:
    """The next attempt, of which nothing is decided yet."""
    return _with(
        record,
        attempt=record.attempt + 1,
        decision=None,
        stages=(),
        scheduled_at=None,
        spent_edge_s=record.spent_edge_s + edge_seconds(reports(record)),
    )


def _started(record: JobRecord, event: messages.StageStarted) -> JobRecord:
    at = event.at
    changed = _with_stage(record, event.stage, worker=event.worker, delivery=event.delivery, started_at=at)
    first = record.started_at if record.started_at is not None else at
    return _with(changed, state=JobState.RUNNING, started_at=first, waiting_reason=None, waiting_message="")


def _with_stage(record: JobRecord, index: int, **changes: object) -> JobRecord:
    stages = tuple(status.model_copy(update=changes) if status.index == index else status for status in record.stages)
    return _with(record, stages=stages)


def _with(record: JobRecord, **changes: object) -> JobRecord:
    return record.model_copy(update=changes)
