"""What to say of a RelayJob: its status from what is observed. Pure."""

from __future__ import annotations

from typing import Literal

from rise_contracts.messages import Decision
from rise_contracts.records import JobRecord, JobState, StageStatus, Waiting
from rise_contracts.status import (
    DecisionStatus,
    ImageStatus,
    JobCondition,
    JobReason,
    PredictionStatus,
    RelayJobStatus,
    ResultStatus,
    StageRun,
)
from rise_operator.conditions import Finding, find, merged, rfc3339
from rise_operator.jobs.observed import Hindrance, Observed

Phase = Literal["Pending", "Suspended", "Scheduled", "Running", "Complete", "Failed"]

_WAITING: dict[Waiting, JobReason] = {
    Waiting.ACCEPTED: JobReason.PENDING,
    Waiting.SUSPENDED: JobReason.SUSPENDED,
    Waiting.SCHEDULER_AWAY: JobReason.SCHEDULER_AWAY,
    Waiting.NO_CONFIGURATION: JobReason.NO_CONFIGURATION,
    Waiting.BACKOFF: JobReason.BACKOFF,
    Waiting.IN_QUEUE: JobReason.IN_QUEUE,
}
_KEPT = ("attempt", "decision", "stages", "progress", "bytes_handed_over", "start_time")
"""What is still true of a job while the bus cannot be asked."""


def job_status(seen: Observed, hindrance: Hindrance | None) -> RelayJobStatus:
    """The whole status. `hindrance` is why there is no record, or none to go by."""
    record = seen.record if hindrance is None else None
    before = seen.job.status
    findings = _off_bus(seen, hindrance) if record is None else _on_bus(seen, record)
    conditions = merged(findings, before.conditions, generation=seen.job.meta.generation, now=seen.now)
    status = RelayJobStatus(
        observed_generation=seen.job.meta.generation,
        phase=_phase(findings, record),
        conditions=conditions,
        job_id=_job_id(seen, hindrance),
    )
    if record is not None:
        return status.model_copy(update=_facts(record, seen))
    if hindrance is None:
        return status.model_copy(update={"attempt": 1})
    if hindrance.final:
        return status.model_copy(update={"completion_time": rfc3339(seen.now)})
    return status.model_copy(update={name: getattr(before, name) for name in _KEPT})


def _job_id(seen: Observed, hindrance: Hindrance | None) -> str | None:
    """None for what never was a job, or is not the one that has its key."""
    if hindrance is not None and hindrance.reason is JobReason.IDEMPOTENCY_CONFLICT:
        return None
    return seen.job.job_id if seen.job.spec is not None else seen.job.status.job_id


def _off_bus(seen: Observed, hindrance: Hindrance | None) -> list[Finding]:
    """The findings of a job that the bus knows nothing of."""
    if hindrance is None:
        return [
            Finding(JobCondition.ACCEPTED, True, JobReason.ACCEPTED),
            *_resumed(seen),
            Finding(JobCondition.SCHEDULED, False, JobReason.PENDING, "the scheduler is asked"),
        ]
    reason, message = hindrance.reason, hindrance.message
    if hindrance.final:
        refused = reason in (JobReason.INVALID_SPEC, JobReason.IDEMPOTENCY_CONFLICT)
        accepted = Finding(JobCondition.ACCEPTED, not refused, reason if refused else JobReason.ACCEPTED, message)
        return [accepted, Finding(JobCondition.FAILED, True, reason, message)]
    accepted = Finding(JobCondition.ACCEPTED, True, JobReason.ACCEPTED)
    if reason is JobReason.SUSPENDED:
        asleep = "suspended by its spec; set spec.suspend to false to let it run"
        return [accepted, Finding(JobCondition.SUSPENDED, True, reason, asleep), _unscheduled(reason, asleep)]
    return [accepted, *_resumed(seen), _unscheduled(reason, message)]


def _on_bus(seen: Observed, record: JobRecord) -> list[Finding]:
    """The findings of a job with a record."""
    findings = [Finding(JobCondition.ACCEPTED, True, JobReason.ACCEPTED)]
    if record.state is JobState.SUSPENDED:
        findings.append(Finding(JobCondition.SUSPENDED, True, JobReason.SUSPENDED, "its work is put aside"))
    else:
        findings += _resumed(seen)
    findings += _progress(seen, record)
    if record.state is JobState.COMPLETE:
        findings.append(Finding(JobCondition.COMPLETE, True, JobReason.COMPLETED, _story(record)))
    elif record.state is JobState.CANCELLED:
        text = "cancelled over the bus"
        findings.append(Finding(JobCondition.FAILED, True, JobReason.CANCELLED, text))
    elif record.state is JobState.FAILED:
        reason, text = failure(record)
        findings.append(Finding(JobCondition.FAILED, True, reason, text))
    return findings


def _progress(seen: Observed, record: JobRecord) -> list[Finding]:
    """Scheduled, HeadDone, TailDone."""
    decision = record.decision
    if decision is None and not record.stages:
        return [_unscheduled(*_why_waiting(record))]
    waits = record.waiting_message if not record.finished else ""
    # Without a decision, but with stages: the result of an attempt that was given up came after all.
    how = f"as {decision.arm}" if decision is not None else "in an earlier attempt"
    scheduled = Finding(JobCondition.SCHEDULED, True, JobReason.SCHEDULED, waits or how)
    first, last = record.stages[0], record.stages[-1]
    head = _stage_finding(JobCondition.HEAD_DONE, first)
    if first is last:
        done = head.status
        tail = Finding(JobCondition.TAIL_DONE, done, JobReason.NOT_NEEDED, "one stage makes the whole picture")
    else:
        tail = _stage_finding(JobCondition.TAIL_DONE, last)
    return [scheduled, head, tail]


def _stage_finding(name: JobCondition, stage: StageStatus) -> Finding:
    report = stage.report
    if report is not None:
        text = f"{report.member}: {report.steps} steps in {report.seconds:.3g} s on {report.worker}"
        return Finding(name, True, JobReason.DONE, text)
    if stage.started_at is None:
        return Finding(name, False, JobReason.PENDING)
    again = f", delivery {stage.delivery}" if stage.delivery > 1 else ""
    return Finding(name, False, JobReason.RUNNING, f"on {stage.worker}{again}")


def _why_waiting(record: JobRecord) -> tuple[JobReason, str]:
    return _WAITING[record.waiting_reason or Waiting.ACCEPTED], record.waiting_message


def _resumed(seen: Observed) -> list[Finding]:
    """Suspended=False, for a job that was suspended once."""
    there = find(seen.job.status.conditions, JobCondition.SUSPENDED)
    return [] if there is None else [Finding(JobCondition.SUSPENDED, False, JobReason.RESUMED)]


def _unscheduled(reason: JobReason, message: str) -> Finding:
    return Finding(JobCondition.SCHEDULED, False, reason, message)


def failure(record: JobRecord) -> tuple[JobReason, str]:
    """Why the job failed, in a word of the list. What no list foresaw is a failure of a stage."""
    if record.error is None:
        return JobReason.STAGE_FAILED, ""
    try:
        return JobReason(record.error.reason), record.error.message
    except ValueError:
        return JobReason.STAGE_FAILED, f"{record.error.reason}: {record.error.message}"


def _phase(findings: list[Finding], record: JobRecord | None) -> Phase:
    true = {finding.type for finding in findings if finding.status}
    if JobCondition.COMPLETE in true:
        return "Complete"
    if JobCondition.FAILED in true:
        return "Failed"
    if JobCondition.SUSPENDED in true:
        return "Suspended"
    if record is not None and record.state is JobState.RUNNING:
        return "Running"
    return "Scheduled" if JobCondition.SCHEDULED in true else "Pending"


def _story(record: JobRecord) -> str:
    """How the picture was made, in a line."""
    reports = [stage.report for stage in record.stages if stage.report is not None]
    return ", then ".join(f"{report.member} on {report.worker} {report.seconds:.3g} s" for report in reports)


def _facts(record: JobRecord, seen: Observed) -> dict[str, object]:
    """What the record knows beyond the conditions."""
    done = sum(stage.report is not None for stage in record.stages)
    ended = record.finished_at
    return {
        "job_id": record.job_id,
        "attempt": record.attempt,
        "decision": None if record.decision is None else _decision(record.decision),
        "stages": _stages(record, seen),
        "progress": f"{done}/{len(record.stages)}" if record.stages else None,
        "bytes_handed_over": sum(s.report.handoff_bytes for s in record.stages if s.report is not None) or None,
        "start_time": None if record.started_at is None else rfc3339(record.started_at),
        "completion_time": None if ended is None else rfc3339(ended),
        "seconds": None if ended is None else round(max(0.0, ended - record.request.accepted_at), 3),
        "result": _result(record),
    }


def _decision(decision: Decision) -> DecisionStatus:
    forecast = decision.predictions
    return DecisionStatus(
        id=decision.id[:64],
        arm=decision.arm[:256],
        policy=decision.policy[:64],
        propensity=decision.propensity,
        predicted=PredictionStatus(
            latency_seconds=_short(forecast.latency_s), edge_seconds=_short(forecast.edge_s), quality=forecast.quality
        ),
    )


def _stages(record: JobRecord, seen: Observed) -> tuple[StageRun, ...]:
    if record.decision is None:
        return ()
    stages = []
    for planned, stage in zip(record.decision.configuration.stages, record.stages, strict=False):
        worker = stage.worker or planned.worker
        stages.append(
            StageRun(
                member=planned.member,
                tier=planned.tier,
                pool=planned.pool,
                worker=worker,
                node=seen.nodes.get(worker) if worker is not None else None,
                steps=planned.steps,
                until_sigma=planned.sigma_to or None,
                seconds=None if stage.report is None else _short(stage.report.seconds),
                handoff_bytes=None if stage.report is None else stage.report.handoff_bytes or None,
            )
        )
    return tuple(stages)


def _result(record: JobRecord) -> ResultStatus | None:
    if record.result is None:
        return None
    images = tuple(
        ImageStatus(sha256=ref.sha256, bytes=ref.nbytes, width=ref.width, height=ref.height, frames=ref.frames)
        for ref in record.result.images
    )
    return ResultStatus(digest=record.result.digest, bytes=record.result.nbytes, images=images)


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
