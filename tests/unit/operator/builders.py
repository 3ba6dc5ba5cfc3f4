"""Objects as the API server gives them, and what is made of them; every test states what it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rise_contracts import messages
from rise_contracts.configuration import Configuration, Stage
from rise_contracts.records import JobRecord
from rise_contracts.resources import RelayJobSpec
from rise_contracts.status import RelayJobStatus
from rise_operator import seen
from rise_operator.api import Object
from rise_operator.conditions import rfc3339
from rise_operator.jobs.observed import Observed
from rise_runtime import plan as driving

NOW = 1_800_000_000.0
UID = "11111111-2222-3333-4444-555555555555"
HOME = "rise"

STAGES = (
    Stage(index=0, member="large", tier="edge", pool="edge", steps=4, sigma_to=1.0),
    Stage(index=1, member="small", tier="device", pool="device", steps=4, sigma_from=1.0),
)
RELAY = Configuration(arm="large:4@1+small:4", stages=STAGES)
ALONE = Configuration(arm="large:4", stages=(STAGES[0].model_copy(update={"sigma_to": 0.0}),))
DIGEST = "a" * 64


def meta(name: str = "job", namespace: str = "default", **changes: Any) -> Object:
    """The metadata of an object that was made at NOW."""
    made: Object = {
        "name": name,
        "namespace": namespace,
        "uid": UID,
        "generation": 1,
        "resourceVersion": "1",
        "creationTimestamp": rfc3339(NOW),
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not None}


def job_body(status: Object | None = None, *, metadata: Object | None = None, **spec: Any) -> Object:
    body: Object = {"metadata": metadata or meta(), "spec": {"prompt": "a red circle", **spec}}
    return body if status is None else {**body, "status": status}


def job(status: RelayJobStatus | None = None, *, metadata: Object | None = None, **spec: Any) -> seen.SeenJob:
    """A job as it was seen, with a status as it was written."""
    return seen.job(job_body(None if status is None else written(status), metadata=metadata, **spec))


def written(status: RelayJobStatus) -> Object:
    """A status as the API server keeps it."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def again(before: Observed, status: RelayJobStatus, **changes: Any) -> Observed:
    """The same world after `status` was written into the job, and seen."""
    job = before.job
    assert job.spec is not None
    spec = job.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    numbers = {"generation": job.meta.generation, "uid": job.meta.uid}
    body = {"metadata": meta(job.meta.name, job.meta.namespace, **numbers), "spec": spec, "status": written(status)}
    body["metadata"]["creationTimestamp"] = rfc3339(job.meta.created_at)
    return replace(before, job=seen.job(body), **changes)


def record(spec: RelayJobSpec | None = None, job_id: str = "job-1", **changes: Any) -> JobRecord:
    """What the bus says of a job that was just accepted."""
    wanted = spec or RelayJobSpec(prompt="a red circle")
    owner = messages.Owner(namespace="default", name="job", uid=UID, controller="us")
    request = messages.JobRequest(job_id=job_id, spec=wanted, seed=7, accepted_at=NOW, owner=owner)
    return JobRecord(request=request).model_copy(update=changes)


def decision(configuration: Configuration = RELAY, **changes: Any) -> messages.Decision:
    made = messages.Decision(
        id="d1", job_id="job-1", arm=configuration.arm, configuration=configuration, policy="fixed",
        predictions=messages.Predictions(latency_s=1.23456, edge_s=0.5, quality=0.9),
    )  # fmt: skip
    return made.model_copy(update=changes)


def scheduled(before: JobRecord, configuration: Configuration = RELAY) -> JobRecord:
    return driving.scheduled(before, decision(configuration), NOW + 1)


def started(before: JobRecord, stage: int = 0, *, delivery: int = 1) -> JobRecord:
    planned = STAGES[stage]
    event = messages.StageStarted(
        job_id=before.job_id, attempt=before.attempt, at=NOW + 2 + stage, stage=stage, worker=f"{planned.tier}-1",
        member=planned.member, tier=planned.tier, steps=planned.steps, delivery=delivery,
    )  # fmt: skip
    return driving.applied(before, event)


def report(stage: int = 0) -> messages.StageReport:
    planned = STAGES[stage]
    return messages.StageReport(
        stage=stage, member=planned.member, tier=planned.tier, pool=planned.pool, worker=f"{planned.tier}-1",
        steps=planned.steps, seconds=0.7512, handoff_bytes=4096 if stage == 0 else 0,
        started_at=NOW + 2 + stage, finished_at=NOW + 3 + stage,
    )  # fmt: skip


def done(before: JobRecord, stage: int = 0) -> JobRecord:
    event = messages.StageDone(
        job_id=before.job_id, attempt=before.attempt, at=NOW + 3, stage=stage, worker=report(stage).worker,
        report=report(stage),
    )  # fmt: skip
    return driving.applied(before, event)


def job_done(before: JobRecord, stages: int = 2) -> messages.JobDone:
    return messages.JobDone(
        job_id=before.job_id, attempt=before.attempt, at=NOW + 5, worker="device-1", arm=RELAY.arm, seed=7,
        digest=DIGEST, nbytes=10, images=(messages.ImageRef(nbytes=10, sha256=DIGEST, width=8, height=8),),
        payload=messages.PayloadRef(kind="inline", nbytes=10, sha256=DIGEST),
        stages=tuple(report(index) for index in range(stages)),
    )  # fmt: skip


def complete(before: JobRecord, stages: int = 2) -> JobRecord:
    return driving.concluded(before, job_done(before, stages))


def failed(before: JobRecord, reason: str = "StageFailed", message: str = "it broke") -> JobRecord:
    ending = messages.JobFailed(
        job_id=before.job_id, attempt=before.attempt, at=NOW + 5, reason=reason, message=message
    )  # fmt: skip
    return driving.concluded(before, ending)


def cancelled(before: JobRecord) -> JobRecord:
    return driving.concluded(before, messages.JobCancelled(job_id=before.job_id, attempt=before.attempt, at=NOW + 5))


def pool_body(name: str = "edge", namespace: str = HOME, *, metadata: Object | None = None, **spec: Any) -> Object:
    return {"metadata": metadata or meta(name, namespace), "spec": {"tier": "edge", **spec}}


def pool(name: str = "edge", namespace: str = HOME, *, metadata: Object | None = None, **spec: Any) -> seen.SeenPool:
    return seen.pool(pool_body(name, namespace, metadata=metadata, **spec))


def pod_body(name: str, *, labels: Object | None = None, status: Object | None = None, **more: Any) -> Object:
    """A pod of pool edge on node-1; `more` goes into its metadata."""
    labels = labels if labels is not None else {seen.POOL_LABEL: "edge", seen.TIER_LABEL: "edge"}
    spec = {"nodeName": "node-1"}
    return {"metadata": {**meta(name, HOME, **more), "labels": labels}, "spec": spec, "status": status or {}}


READY: Object = {"conditions": [{"type": "Ready", "status": "True"}]}


def pod(name: str, *, labels: Object | None = None, status: Object | None = None, **more: Any) -> seen.SeenPod:
    return seen.pod(pod_body(name, labels=labels, status=READY if status is None else status, **more))


def job_pod(tier: str, *, ready: bool = True, uid: str = UID, **more: Any) -> seen.SeenPod:
    """A pod that is there for one job."""
    labels = {seen.POOL_LABEL: f"dedicated-{tier}", seen.TIER_LABEL: tier, seen.JOB_UID_LABEL: uid}
    return pod(f"job-{tier}", labels=labels, status=READY if ready else {}, **more)


def beat(worker: str, pool: str = "edge", **changes: Any) -> messages.Heartbeat:
    made = messages.Heartbeat(worker=worker, tier="edge", pool=pool, pid=1, at=NOW, members=("large",))
    return made.model_copy(update=changes)


def family_body(name: str = "tiny", *, metadata: Object | None = None, **spec: Any) -> Object:
    members = [{"name": "large"}, {"name": "small", "tier": "device"}]
    made = {"base": {"builtin": "rise-shapes"}, "members": members, **spec}
    return {"metadata": metadata or meta(name, namespace=""), "spec": made}
