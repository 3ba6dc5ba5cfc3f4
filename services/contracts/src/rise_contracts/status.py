"""What the operator writes into the status of the resources, and every word it may use there.

Conditions follow KEP-1623: what is true of an object, each with a reason from a list that programs may rely on, and the
generation that it was seen at. `phase` is derived from them, for the printer column alone.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from rise_contracts.model import Name, Resource, Sha256, Tier

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
    LATENTS_DIFFER = "LatentsDiffer"
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
    SECRET_MISSING = "SecretMissing"
    FORBIDDEN = "Forbidden"


class Condition(Resource):
    """What is true of the object, or not (yet), and why."""

    type: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)] = Field(description="What it is about.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it is so.")
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)] = Field(
        description="Why, in a word that programs may rely on."
    )
    message: Text = Field(default="", description="Why, for people.")
    last_transition_time: Time = Field(description="Since when.")
    observed_generation: int = Field(ge=0, description="The generation of the object that this was said of.")


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16, description="What is true of it, by type.")]
Generation = Annotated[int, Field(ge=0, description="The generation of the object that this status is of.")]


class PredictionStatus(Resource):
    """What the scheduler expected."""

    latency_seconds: float | None = Field(default=None, description="From acceptance to the end.")
    edge_seconds: float | None = Field(default=None, description="Of accelerators at the edge.")
    quality: float | None = Field(default=None, description="Of the pictures, from 0 to 1.")


class DecisionStatus(Resource):
    """What the scheduler chose; `rise explain` tells why."""

    id: Annotated[str, Field(max_length=64)] = Field(description="Of the decision, in the scheduler's log.")
    arm: Annotated[str, Field(max_length=256)] = Field(
        description="Member, steps and handoff of each stage: large:6@1.2+small:6 hands over at sigma 1.2."
    )
    policy: Annotated[str, Field(max_length=64)] = Field(description="By which it was chosen.")
    propensity: float = Field(default=1.0, description="How likely it was to be chosen, above 0 to 1.")
    predicted: PredictionStatus = PredictionStatus()


class StageRun(Resource):
    """One stage of the current attempt."""

    member: Name = Field(description="That computes it.")
    tier: Tier = Field(description="Where it runs.")
    pool: Name = Field(description="Of the worker, as the bus calls it.")
    worker: Annotated[str, Field(max_length=63)] | None = Field(default=None, description="That took it, or has to.")
    node: Annotated[str, Field(max_length=253)] | None = Field(default=None, description="That the worker is on.")
    steps: int = Field(ge=0, description="Denoising steps.")
    until_sigma: float | None = Field(default=None, description="The noise level at which it hands over.")
    seconds: float | None = Field(default=None, description="That it took.")
    handoff_bytes: int | None = Field(default=None, description="Of the latent that it handed over.")


class ImageStatus(Resource):
    """One picture or video."""

    sha256: Sha256 = Field(description="Of its file.")
    bytes: int = Field(ge=1, description="Of its file.")
    width: int = Field(ge=1, description="In pixels.")
    height: int = Field(ge=1, description="In pixels.")
    frames: int = Field(default=1, ge=1, description="1 for a picture.")


class ResultStatus(Resource):
    """Where the pictures are: under `jobId` in the result store. `digest` is the SHA-256 of all of them in order."""

    digest: Sha256 = Field(description="SHA-256 of all of them in order.")
    bytes: int = Field(ge=1, description="Of all of them together.")
    images: Annotated[tuple[ImageStatus, ...], Field(max_length=16)] = Field(description="In order, at most 16.")


class RelayJobStatus(Resource):
    """Where a job stands. `jobId` is its name on the bus: `rise result <jobId>` fetches its pictures."""

    observed_generation: Generation = 0
    phase: Literal["Pending", "Suspended", "Scheduled", "Running", "Complete", "Failed"] = Field(
        default="Pending", description="Derived from the conditions, for people."
    )
    conditions: Conditions = ()
    job_id: Annotated[str, Field(max_length=63)] | None = Field(default=None, description="Its name on the bus.")
    attempt: int | None = Field(default=None, ge=1, description="Which try this is, from 1.")
    decision: DecisionStatus | None = None
    stages: Annotated[tuple[StageRun, ...], Field(max_length=8)] = Field(
        default=(), description="Of the current attempt, in order."
    )
    progress: Annotated[str, Field(max_length=32)] | None = Field(
        default=None, description="Stages done of stages to do, as 1/2."
    )
    bytes_handed_over: int | None = Field(default=None, ge=0, description="Of latents, between the stages.")
    start_time: Time | None = Field(default=None, description="When its first stage began.")
    completion_time: Time | None = Field(default=None, description="When it ended, well or badly.")
    seconds: float | None = Field(default=None, description="From acceptance to the end.")
    result: ResultStatus | None = None


class MemberStatus(Resource):
    """One member of the family."""

    name: Name = Field(description="Of the member.")
    workers: int = Field(ge=0, description="How many hold it now.")


class ModelFamilyStatus(Resource):
    """Whether the family is known to the bus, and who holds its members."""

    observed_generation: Generation = 0
    conditions: Conditions = ()
    members: Annotated[tuple[MemberStatus, ...], Field(max_length=32)] = Field(
        default=(), description="Each member, and the workers that hold it."
    )


class StagePoolStatus(Resource):
    """`replicas` are the pods there are, `readyReplicas` those whose worker takes work."""

    observed_generation: Generation = 0
    conditions: Conditions = ()
    replicas: int = Field(default=0, ge=0, description="Pods that there are.")
    ready_replicas: int = Field(default=0, ge=0, description="Pods whose worker takes work.")
    busy_replicas: int = Field(default=0, ge=0, description="Workers that compute now.")
    members: Annotated[tuple[Name, ...], Field(max_length=32)] = Field(default=(), description="Loaded somewhere.")
    nodes: Annotated[tuple[Annotated[str, Field(max_length=253)], ...], Field(max_length=64)] = Field(
        default=(), description="That its pods are on, at most 64."
    )
    selector: str = Field(default="", max_length=512, description="Of its pods, for the scale subresource.")
