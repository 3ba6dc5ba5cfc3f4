"""Records of jobs, and what happens to them, for tests."""

from __future__ import annotations

from typing import Any

from rise_contracts import messages
from rise_contracts.configuration import Configuration, Stage
from rise_contracts.records import Failure, JobRecord
from rise_contracts.resources import RelayJobSpec
from rise_runtime import plan

NOW = 1000.0
RELAY = Configuration(
    arm="large:4@1+small:4",
    stages=(
        Stage(index=0, member="large", tier="edge", pool="edge", steps=4, sigma_to=1.0),
        Stage(index=1, member="small", tier="device", pool="device", steps=4, sigma_from=1.0),
    ),
)
DECISION = messages.Decision(id="d1", job_id="job-1", arm=RELAY.arm, configuration=RELAY, policy="fixed")


def pending(**spec: Any) -> JobRecord:
    wanted = RelayJobSpec.model_validate({"prompt": "a red circle", **spec})
    return JobRecord(request=messages.JobRequest(job_id="job-1", spec=wanted, seed=1, accepted_at=NOW))


def scheduled(**spec: Any) -> JobRecord:
    return plan.scheduled(pending(**spec), DECISION, NOW + 1)


def started(stage: int = 0, attempt: int = 1, at: float = NOW + 2, delivery: int = 1) -> messages.StageStarted:
    tier, member = (("edge", "large"), ("device", "small"))[stage]
    return messages.StageStarted.model_validate(
        {
            "job_id": "job-1",
            "attempt": attempt,
            "at": at,
            "stage": stage,
            "worker": f"{tier}-1",
            "member": member,
            "tier": tier,
            "steps": 4,
            "delivery": delivery,
        }
    )


def report(stage: int = 0, seconds: float = 2.0) -> messages.StageReport:
    tier, member = (("edge", "large"), ("device", "small"))[stage]
    return messages.StageReport.model_validate(
        {
            "stage": stage,
            "member": member,
            "tier": tier,
            "pool": tier,
            "worker": f"{tier}-1",
            "steps": 4,
            "seconds": seconds,
            "handoff_bytes": 4096 if stage == 0 else 0,
            "started_at": NOW + 2 + 3 * stage,
            "finished_at": NOW + 4 + 3 * stage,
        }
    )


def stage_done(stage: int = 0, attempt: int = 1) -> messages.StageDone:
    done = report(stage)
    return messages.StageDone(
        job_id="job-1", attempt=attempt, at=done.finished_at, stage=stage, worker=done.worker, report=done
    )


def job_done(attempt: int = 1) -> messages.JobDone:
    return messages.JobDone(
        job_id="job-1",
        attempt=attempt,
        at=NOW + 8,
        worker="device-1",
        arm=RELAY.arm,
        seed=1,
        digest="a" * 64,
        nbytes=10,
        images=(messages.ImageRef(nbytes=10, sha256="a" * 64, width=8, height=8),),
        payload=messages.PayloadRef(kind="inline", nbytes=10, sha256="a" * 64),
        stages=(report(0), report(1)),
    )


JOB_FAILED = messages.JobFailed(job_id="job-1", attempt=1, at=NOW + 9, reason="Test", message="it broke")
JOB_CANCELLED = messages.JobCancelled(job_id="job-1", attempt=1, at=NOW + 9)
BROKEN = Failure(reason="StageFailed", message="it broke", attempt=1)


def running() -> JobRecord:
    return plan.applied(scheduled(), started())


def beat(worker: str, pool: str) -> messages.Heartbeat:
    return messages.Heartbeat(worker=worker, tier="edge", pool=pool, pid=1, at=NOW)
