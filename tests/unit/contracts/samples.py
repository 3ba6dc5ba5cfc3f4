"""One whole message of each kind, with every optional part there."""

from __future__ import annotations

from pydantic import BaseModel

from rise_contracts import messages
from rise_contracts.configuration import Configuration, Stage
from rise_contracts.handoff import HandoffHeader
from rise_contracts.records import JobRecord, JobState
from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, RelayJobSpec, Source

DIGEST = "a" * 64
STAGES = (
    Stage(index=0, member="large", tier="edge", pool="edge", worker="edge-1", steps=3, sigma_to=1.5),
    Stage(index=1, member="small", tier="device", pool="device", steps=4, sigma_from=1.5),
)
CONFIGURATION = Configuration(arm="large:3@1.5+small:4", stages=STAGES)
REQUEST = messages.JobRequest(
    job_id="job-1", spec=RelayJobSpec(prompt="a red dot", device_selector={"a": "b"}), seed=3, accepted_at=1.5
)
HEADER = HandoffHeader(
    job="job-1",
    attempt=1,
    stage=0,
    family="tiny",
    latent_contract=DIGEST,
    sigma=1.5,
    shape=(1, 4, 8, 8),
    dtype="fp32",
    solver="dpmpp_2m",
    solver_state=("past_clean", "past_sigma"),
    sha256=DIGEST,
    nbytes=1100,
)
REF = messages.PayloadRef(
    kind="chunks", nbytes=1100, sha256=DIGEST, subject="rise.blobs.edge.any.RISE.job-1.handoff.1.n", chunks=2
)
REPORT = messages.StageReport(
    stage=0,
    member="large",
    tier="edge",
    pool="edge",
    worker="edge-1",
    steps=3,
    seconds=1.5,
    timings={"denoise": 1.25},
    started_at=1.0,
    finished_at=2.5,
)
TASK = messages.StageTask(
    job_id="job-1",
    attempt=1,
    stage_index=1,
    request=REQUEST,
    configuration=CONFIGURATION,
    handoff=HEADER,
    payload=REF,
    done=(REPORT,),
)
DECISION = messages.Decision(
    id="d-1",
    job_id="job-1",
    arm=CONFIGURATION.arm,
    configuration=CONFIGURATION,
    policy="linucb",
    context={"load": 0.5},
    predictions=messages.Predictions(latency_s=1.5, stage_seconds=(1.0, 0.5)),
)
FAMILY = ModelFamily(
    metadata=Metadata(name="tiny"),
    spec=ModelFamilySpec(base=Source(builtin="rise-shapes"), members=(Member(name="large"),), handoffs=(1.5,)),
)
ENDINGS: tuple[messages.Ending, ...] = (
    messages.JobDone(
        job_id="job-1",
        attempt=1,
        at=3.0,
        worker="device-1",
        arm="large:3",
        seed=3,
        digest=DIGEST,
        nbytes=10,
        images=(messages.ImageRef(nbytes=10, sha256=DIGEST, width=8, height=8),),
        payload=REF,
        stages=(REPORT,),
    ),
    messages.JobFailed(job_id="job-1", attempt=1, at=2.0, reason="R", message="m"),
    messages.JobCancelled(job_id="job-1", attempt=1, at=2.0),
)
EVENTS: tuple[messages.Event, ...] = (
    messages.StageStarted(
        job_id="job-1", attempt=1, at=1.0, stage=0, worker="edge-1", member="large", tier="edge", steps=3
    ),
    messages.StageProgress(
        job_id="job-1",
        attempt=1,
        at=1.0,
        stage=0,
        worker="edge-1",
        member="large",
        tier="edge",
        step=1,
        steps=3,
        sigma=9.5,
        seconds_per_step=0.5,
    ),
    messages.HandoffSent(
        job_id="job-1", attempt=1, at=1.0, stage=0, worker="edge-1", sigma=1.5, nbytes=9, dtype="q8", seconds=0.5
    ),
    messages.StageDone(job_id="job-1", attempt=1, at=1.0, stage=0, worker="edge-1", report=REPORT),
    messages.StageFailed(
        job_id="job-1", attempt=1, at=1.0, stage=0, worker="edge-1", reason="R", message="m", retriable=True
    ),
    *ENDINGS,
)
OTHERS: tuple[BaseModel, ...] = (
    REQUEST,
    TASK,
    DECISION,
    FAMILY,
    HEADER,
    messages.Cancel(job_id="job-1", attempt=2),
    messages.Heartbeat(
        worker="edge-1",
        tier="edge",
        pool="edge",
        pid=1,
        at=1.0,
        members=("large",),
        seconds_per_step={"large": 0.5},
        link=messages.LinkQuality(rtt_s=0.25, bytes_per_s=1e6),
    ),
    messages.Configure(request=REQUEST, attempt=1, avoid=("edge-2",)),
    messages.Outcome(decision_id="d-1", job_id="job-1", arm="large:3", latency_s=1.5, edge_s=1.0, quality=0.5),
    messages.Problem(problem="Busy", message="later", retriable=True),
    JobRecord(request=REQUEST, state=JobState.RUNNING, decision=DECISION, avoid=("edge-2",)),
)
EVERY: tuple[BaseModel, ...] = (*OTHERS, *EVENTS)
