"""What the operator writes into the status of the resources, and every word it may use there.

Conditions follow KEP-1623: what is true of an object, each with a reason from a list that programs may rely on, and the
generation that it was seen at. `phase` is derived from them, for the printer column alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from rise_contracts.model import Name, Resource, Tier

Text = Annotated[str, Field(max_length=2048)]
Time = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]


class JobCondition(StrEnum):
    """The conditions of a RelayJob, in the order in which they come true."""

    ACCEPTED = "Accepted"
    SUSPENDED = "Suspended"
    SCHEDULED = "Scheduled"
    HEAD_DONE = "HeadDone"
    TAIL_DONE = "TailDone"
    COMPLETE = "Complete"
    FAILED = "Failed"


class JobReason(StrEnum):
    """Why a condition of a RelayJob is as it is. The first group says what a job waits for."""

    FAMILY_NOT_FOUND = "FamilyNotFound"
    FAMILY_REFUSED = "FamilyRefused"
    BUS_UNAVAILABLE = "BusUnavailable"
    SCHEDULER_AWAY = "SchedulerAway"
    NO_CONFIGURATION = "NoConfiguration"
    NO_POOL = "NoPool"
    PODS_PENDING = "PodsPending"
    BACKOFF = "Backoff"
    IN_QUEUE = "InQueue"
    SUSPENDED = "Suspended"

    ACCEPTED = "Accepted"
    PENDING = "Pending"
    RESUMED = "Resumed"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    DONE = "Done"
    NOT_NEEDED = "NotNeeded"
    COMPLETED = "Completed"

    INVALID_SPEC = "InvalidSpec"
    IDEMPOTENCY_CONFLICT = "IdempotencyConflict"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
    ACTIVE_DEADLINE_EXCEEDED = "ActiveDeadlineExceeded"
    BACKOFF_LIMIT_EXCEEDED = "BackoffLimitExceeded"
    UNKNOWN_NAME = "UnknownName"
    INVALID_INPUT = "InvalidInput"
    PAYLOAD_TOO_LARGE = "PayloadTooLarge"
    HANDOFF_REFUSED = "HandoffRefused"
    STAGE_FAILED = "StageFailed"
    DEAD_LETTERED = "DeadLettered"
    WORKER_LOST = "WorkerLost"
    WORK_LOST = "WorkLost"
    RECORD_LOST = "RecordLost"
    CANCELLED = "Cancelled"


class FamilyReason(StrEnum):
    """Why a ModelFamily is accepted and ready, or not."""

    ACCEPTED = "Accepted"
    INVALID_SPEC = "InvalidSpec"
    BUS_UNAVAILABLE = "BusUnavailable"
    LOADED = "Loaded"
    NOT_LOADED = "NotLoaded"
    LATENTS_DIFFER = "LatentsDiffer"


class PoolReason(StrEnum):
    """Why a StagePool is ready, or not."""

    READY = "Ready"
    SCALED_TO_ZERO = "ScaledToZero"
    LOADING = "Loading"
    INVALID_SPEC = "InvalidSpec"
    FAMILY_NOT_FOUND = "FamilyNotFound"
    FAMILY_REFUSED = "FamilyRefused"
    NO_NODE = "NoNode"
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    WORKER_FAILING = "WorkerFailing"
    PODS_PENDING = "PodsPending"
    FORBIDDEN = "Forbidden"


class Condition(Resource):
    type: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)]
    message: Text = ""
    last_transition_time: Time
    observed_generation: int = Field(ge=0)


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16)]


class PredictionStatus(Resource):
    latency_seconds: float | None = None
    edge_seconds: float | None = None
    quality: float | None = None


class DecisionStatus(Resource):
    """What the scheduler chose; `rise explain` tells why."""

    id: Annotated[str, Field(max_length=64)]
    arm: Annotated[str, Field(max_length=256)]
    policy: Annotated[str, Field(max_length=64)]
    propensity: float = 1.0
    predicted: PredictionStatus = PredictionStatus()


class StageRun(Resource):
    """One stage of the current attempt."""

    member: Name
    tier: Tier
    pool: Name
    worker: Annotated[str, Field(max_length=63)] | None = None
    node: Annotated[str, Field(max_length=253)] | None = None
    steps: int = Field(ge=0)
    until_sigma: float | None = None
    seconds: float | None = None
    handoff_bytes: int | None = None


class ImageStatus(Resource):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: int = Field(ge=1)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    frames: int = Field(default=1, ge=1)


class ResultStatus(Resource):
    """Where the pictures are: under `jobId` in the result store. `digest` is the SHA-256 of all of them in order."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: int = Field(ge=1)
    images: Annotated[tuple[ImageStatus, ...], Field(max_length=16)]


class RelayJobStatus(Resource):
    """Where a job stands. `jobId` is its name on the bus: `rise result <jobId>` fetches its pictures."""

    observed_generation: int = Field(default=0, ge=0)
    phase: Literal["Pending", "Suspended", "Scheduled", "Running", "Complete", "Failed"] = "Pending"
    conditions: Conditions = ()
    job_id: Annotated[str, Field(max_length=63)] | None = None
    attempt: int | None = Field(default=None, ge=1)
    decision: DecisionStatus | None = None
    stages: Annotated[tuple[StageRun, ...], Field(max_length=8)] = ()
    progress: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="stages done of stages to do"
    )
    bytes_handed_over: int | None = Field(default=None, ge=0)
    start_time: Time | None = None
    completion_time: Time | None = None
    seconds: float | None = Field(default=None, description="from acceptance to the end")
    result: ResultStatus | None = None


class MemberStatus(Resource):
    name: Name
    workers: int = Field(ge=0, description="that hold it now")


class ModelFamilyStatus(Resource):
    observed_generation: int = Field(default=0, ge=0)
    conditions: Conditions = ()
    members: Annotated[tuple[MemberStatus, ...], Field(max_length=32)] = ()


class StagePoolStatus(Resource):
    """`replicas` are the pods there are, `readyReplicas` those whose worker takes work."""

    observed_generation: int = Field(default=0, ge=0)
    conditions: Conditions = ()
    replicas: int = Field(default=0, ge=0)
    ready_replicas: int = Field(default=0, ge=0)
    busy_replicas: int = Field(default=0, ge=0)
    members: Annotated[tuple[Name, ...], Field(max_length=32)] = Field(default=(), description="loaded somewhere")
    nodes: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    selector: str = Field(default="", max_length=512, description="of its pods, for the scale subresource")
