"""A finished job, as the bus would tell it."""

from __future__ import annotations

import hashlib

from rise_contracts import messages, records, resources
from rise_contracts.configuration import Configuration, Stage

PNG_SHA = hashlib.sha256(b"png").hexdigest()

CONFIGURATION = Configuration(
    arm="large:6@1.2+finisher:5",
    stages=(
        Stage(index=0, member="large", tier="edge", pool="edge", steps=6, sigma_to=1.2),
        Stage(index=1, member="finisher", tier="device", pool="device", steps=5, sigma_from=1.2),
    ),
)


def decision(arm: str = CONFIGURATION.arm) -> messages.Decision:
    return messages.Decision(
        id="d1",
        job_id="job-1",
        arm=arm,
        configuration=CONFIGURATION,
        policy="fixed",
        context={"load": 0.25},
        predictions=messages.Predictions(latency_s=0.5, edge_s=0.3, quality=0.9),
    )


def stage_report(stage: int, seconds: float) -> messages.StageReport:
    planned = CONFIGURATION.stages[stage]
    return messages.StageReport(
        stage=stage,
        member=planned.member,
        tier=planned.tier,
        pool=planned.pool,
        worker=f"{planned.tier}-1",
        steps=planned.steps,
        seconds=seconds,
        timings={"denoise": seconds},
        started_at=0.0,
        finished_at=seconds,
    )


def done(attempt: int = 1) -> messages.JobDone:
    return messages.JobDone(
        job_id="job-1",
        attempt=attempt,
        at=101.0,
        worker="device-1",
        arm=CONFIGURATION.arm,
        seed=7,
        digest=PNG_SHA,
        nbytes=3,
        images=(messages.ImageRef(nbytes=3, sha256=PNG_SHA, width=64, height=64),),
        payload=messages.PayloadRef(kind="inline", nbytes=3, sha256=PNG_SHA),
        stages=(stage_report(0, 0.3), stage_report(1, 0.1)),
    )


def handoff(attempt: int = 1) -> messages.HandoffSent:
    return messages.HandoffSent(
        job_id="job-1",
        attempt=attempt,
        at=1,
        stage=0,
        worker="edge-1",
        sigma=1.2,
        nbytes=2048,
        dtype="fp16",
        seconds=0.002,
    )


def record(**changes: object) -> records.JobRecord:
    """A job that is done; `changes` are fields of its record."""
    spec = resources.RelayJobSpec(prompt="a red circle", seed=7)
    request = messages.JobRequest(job_id="job-1", spec=spec, seed=7, accepted_at=100.0)
    whole = records.JobRecord(
        request=request, state=records.JobState.COMPLETE, waiting_reason=None, decision=decision(), attempt=1
    )
    return whole.model_copy(update=changes)
