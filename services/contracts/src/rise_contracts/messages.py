"""The messages between the processes. Times are Unix seconds, durations seconds, sizes bytes.

Where a message carries bytes (a latent, pictures), they follow its JSON; see `rise_contracts.codec`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from rise_contracts.configuration import Configuration
from rise_contracts.handoff import HandoffHeader
from rise_contracts.model import Message, Name, Part, Seconds, Sha256, Sigma, Tier, WireDtype
from rise_contracts.resources import RelayJobSpec
from rise_contracts.subjects import CHUNKS_LIMIT, PAYLOAD_LIMIT

JobId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Attempt = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0, le=7)]


class Owner(Part):
    """The RelayJob object that a job was accepted for, and the installation (`controller`) that did it."""

    namespace: Annotated[str, Field(min_length=1, max_length=63)]
    name: Annotated[str, Field(min_length=1, max_length=253)]
    uid: Annotated[str, Field(min_length=1, max_length=64)]
    controller: Annotated[str, Field(min_length=1, max_length=64)]


class JobRequest(Message):
    """An accepted job. The seed is always set: drawn at acceptance where the spec has none."""

    job_id: JobId
    spec: RelayJobSpec
    seed: int = Field(ge=0, le=2**63 - 1)
    accepted_at: float
    preview: bool = Field(default=False, description="decode the latent at every handoff, for a person to look at")
    owner: Owner | None = Field(default=None, description="None for jobs that came over the bus")


class PayloadRef(Part):
    """Where a message's bytes are: right behind its JSON (`inline`), or in chunks on a subject."""

    kind: Literal["inline", "chunks"]
    nbytes: int = Field(ge=0, le=PAYLOAD_LIMIT)
    sha256: Sha256
    subject: str | None = None
    chunks: int = Field(default=0, ge=0, le=CHUNKS_LIMIT)


class Spent(Message):
    """What a worker has stored of a stage and nobody needs any more: chunks, and the checkpoint on a subject."""

    chunks: PayloadRef | None = None
    checkpoint: str = Field(default="", max_length=512)


class StageReport(Part):
    """What one stage took. `seconds` is from the start of the handler to its end, on the worker that ended it.

    Where that worker went on from a checkpoint, it made `steps` - `resumed_at` of the steps; what the ones before had
    taken is `earlier_seconds`.
    """

    stage: Index
    member: Name
    tier: Tier
    pool: Name
    worker: Name
    steps: int = Field(ge=0)
    seconds: Seconds
    timings: dict[str, float] = Field(
        default_factory=dict,
        description="seconds by part: load, encode, denoise …; waited is when the worker served others",
    )
    handoff_bytes: int = Field(default=0, ge=0)
    resumed_at: int = Field(default=0, ge=0, description="steps that came from a checkpoint of an earlier delivery")
    earlier_seconds: Seconds = Field(default=0.0, description="what those took their worker, waiting not included")
    started_at: float
    finished_at: float


class StageTask(Message):
    """One stage of work in a pool's queue. `handoff` and `payload` are None for the head."""

    job_id: JobId
    attempt: Attempt
    stage_index: Index
    request: JobRequest
    configuration: Configuration
    handoff: HandoffHeader | None = None
    payload: PayloadRef | None = None
    done: tuple[StageReport, ...] = Field(default=(), description="the reports of the stages before this one")

    @model_validator(mode="after")
    def _is_a_stage(self) -> Self:
        count = len(self.configuration.stages)
        if self.stage_index >= count:
            raise ValueError(f"stage_index must be below {count}, the number of stages, got {self.stage_index}")
        return self


class Checkpoint(Message):
    """A stage in mid-work: the latent after `step` of its steps, and all that its solver remembers.

    The header's origin is this very stage. `seconds` is what its steps have taken until here, on whichever workers.
    """

    job_id: JobId
    attempt: Attempt
    stage: Index
    step: int = Field(ge=1)
    seconds: Seconds
    header: HandoffHeader
    payload: PayloadRef


class _Event(Message):
    job_id: JobId
    attempt: Attempt
    at: float


class _StageEvent(_Event):
    stage: Index
    worker: Name


class StageStarted(_StageEvent):
    kind: Literal["stage-started"] = "stage-started"
    member: Name
    tier: Tier
    steps: int = Field(ge=1)
    delivery: int = Field(default=1, ge=1, description="above 1: an earlier worker did not finish it")
    resumed_at: int = Field(default=0, ge=0, description="steps of the checkpoint that there is to go on from")


class StageProgress(_StageEvent):
    """Sent over core NATS, so any of them may be missed. `step` counts the steps done."""

    kind: Literal["stage-progress"] = "stage-progress"
    member: Name
    tier: Tier
    step: int = Field(ge=0)
    steps: int = Field(ge=1)
    sigma: Sigma
    seconds_per_step: Seconds


class HandoffSent(_StageEvent):
    """The message's bytes are the preview's PNG where the job asked for one, else empty."""

    kind: Literal["handoff-sent"] = "handoff-sent"
    sigma: Sigma
    nbytes: int = Field(ge=0)
    dtype: WireDtype
    seconds: Seconds = Field(description="from the last step's end until the next task was stored")


class StageDone(_StageEvent):
    kind: Literal["stage-done"] = "stage-done"
    report: StageReport


class StageFailed(_StageEvent):
    kind: Literal["stage-failed"] = "stage-failed"
    reason: str
    message: str
    retriable: bool


class ImageRef(Part):
    nbytes: int = Field(ge=1)
    sha256: Sha256
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    frames: int = Field(default=1, ge=1, description="above 1: an animated PNG")


class JobDone(_Event):
    """The job's one result. `digest` is the SHA-256 of all its PNG files in order."""

    kind: Literal["job-done"] = "job-done"
    worker: Name
    arm: str
    seed: int
    digest: Sha256
    nbytes: int = Field(ge=1)
    images: tuple[ImageRef, ...] = Field(min_length=1, max_length=16)
    payload: PayloadRef
    stages: tuple[StageReport, ...]


class JobFailed(_Event):
    kind: Literal["job-failed"] = "job-failed"
    reason: str
    message: str


class JobCancelled(_Event):
    kind: Literal["job-cancelled"] = "job-cancelled"


Ending = Annotated[JobDone | JobFailed | JobCancelled, Field(discriminator="kind")]
"""The one way a job ended. The first to be stored under the job's id counts; every later one is dropped."""

Event = Annotated[
    StageStarted | StageProgress | HandoffSent | StageDone | StageFailed | JobDone | JobFailed | JobCancelled,
    Field(discriminator="kind"),
]


class Fence(Message):
    """What a worker has to know of a job in order not to work in vain: attempts below this one are not wanted any more,
    and none is once it is `over`. Of the job itself it says nothing."""

    attempt: Attempt
    over: bool = False


class Cancel(Message):
    """To the workers: stop this job's attempts up to and including `attempt`."""

    job_id: JobId
    attempt: Attempt


class LinkQuality(Part):
    rtt_s: Seconds
    bytes_per_s: float | None = Field(default=None, gt=0)


class Accelerator(Part):
    """How an accelerator is by its driver; None where that does not say."""

    temperature_c: float | None = None
    throttled: bool | None = Field(default=None, description="slowed by heat, or by want of power")


class Heartbeat(Message):
    """What a worker says of itself, about once a second. `ready` means loaded and pulling work."""

    worker: Name
    tier: Tier
    pool: Name
    pid: int = Field(ge=1)
    at: float
    ready: bool = True
    families: tuple[Name, ...] = Field(default=(), description="that it can work with; none: it does not say")
    members: tuple[Name, ...] = Field(default=(), description="loaded now")
    seconds_per_step: dict[str, float] = Field(default_factory=dict, description="by member, one image, warm")
    usual_seconds_per_step: dict[str, float] = Field(default_factory=dict, description="the same over a long time")
    pace_age_s: dict[str, Seconds] = Field(
        default_factory=dict, description="by member, since a step of it was measured; none: it does not say"
    )
    load_seconds: dict[str, Seconds] = Field(default_factory=dict, description="by member, of its loads here")
    accelerator: Accelerator | None = None
    gain: float = Field(default=1.0, gt=0, description="steps in company in the time of one alone; 1 until measured")
    busy_jobs: tuple[str, ...] = ()
    slots: int = Field(default=1, ge=1, description="jobs that it can be at together")
    queue_depth: int = Field(default=0, ge=0, description="tasks waiting in the pool")
    rss_bytes: int = Field(default=0, ge=0)
    link: LinkQuality | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    dedicated: str = Field(default="", max_length=63, description="the one job that it is there for; empty: any")
    private: bool = Field(default=False, description="takes only what is sent to it by name")


class Predictions(Part):
    latency_s: float | None = None
    edge_s: float | None = None
    quality: float | None = None
    stage_seconds: tuple[float, ...] = Field(default=(), description="by stage, waiting not included; empty if unknown")
    load_s: Seconds = Field(default=0.0, description="of the latency, loading members that are not held")


class Configure(Message):
    """The driver's question to the scheduler. `avoid` names workers that just failed this job."""

    request: JobRequest
    attempt: Attempt
    avoid: tuple[Name, ...] = ()


class Decision(Message):
    """The scheduler's answer. `propensity` is the probability with which this arm was chosen."""

    id: Annotated[str, Field(min_length=1, max_length=64)]
    job_id: JobId
    arm: str
    configuration: Configuration
    policy: str
    context: dict[str, float] = Field(default_factory=dict)
    propensity: float = Field(default=1.0, gt=0, le=1)
    predictions: Predictions = Predictions()


class Outcome(Message):
    """What came of a decision; it repeats what a scheduler needs to learn without remembering."""

    decision_id: str
    job_id: JobId
    arm: str
    policy: str = ""
    context: dict[str, float] = Field(default_factory=dict)
    propensity: float = Field(default=1.0, gt=0, le=1)
    preference: float = Field(default=0.5, ge=0, le=1)
    latency_s: Seconds = Field(description="to the end, from acceptance or, for later attempts, from scheduling")
    wait_s: Seconds = Field(default=0.0, description="of it, before the head started")
    edge_s: Seconds = Field(description="seconds of edge workers in this attempt")
    stage_seconds: tuple[float, ...] = ()
    load_seconds: tuple[Seconds, ...] = Field(default=(), description="by stage: of its seconds, those of loading")
    quality: float | None = None
    judged_by: str = Field(
        default="", pattern=r"^[a-z0-9-]{0,63}$", description="who says so: judge, fidelity, user, or a scorer's name"
    )
    bytes_handed: int = Field(default=0, ge=0)
    failed: bool = False
    at: float = 0.0


Act = Literal["keep", "regenerate"]
"""What somebody does with a picture that they got: keep it, or have another made of the same words."""
ACT_QUALITY: Final[Mapping[Act, float]] = {"keep": 1.0, "regenerate": 0.0}
"""What that says of its quality: right or wrong, as a judge's verdict does."""


class UserAct(Message):
    """What was done with the picture of a decision's job."""

    decision_id: str
    act: Act


class Problem(Message):
    """An error as the answer to a request."""

    problem: str = Field(description="the error's reason")
    message: str
    retriable: bool = False
