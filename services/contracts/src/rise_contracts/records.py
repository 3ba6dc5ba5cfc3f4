"""The record of a job: the one place that says where it stands. Written by compare-and-swap only."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from rise_contracts.configuration import Stage
from rise_contracts.messages import Decision, ImageRef, JobRequest, StageReport
from rise_contracts.model import Message, Name, Part


class JobState(StrEnum):
    """Pending → Scheduled → Running → one of the last three, which are final. A new attempt goes back to Pending."""

    PENDING = "Pending"
    SUSPENDED = "Suspended"
    SCHEDULED = "Scheduled"
    RUNNING = "Running"
    COMPLETE = "Complete"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


TERMINAL = frozenset({JobState.COMPLETE, JobState.FAILED, JobState.CANCELLED})


class Waiting(StrEnum):
    """Why a job is not running."""

    ACCEPTED = "Accepted"
    SUSPENDED = "Suspended"
    SCHEDULER_AWAY = "SchedulerAway"
    NO_CONFIGURATION = "NoConfiguration"
    BACKOFF = "Backoff"
    IN_QUEUE = "InQueue"


class Failure(Part):
    reason: str
    message: str
    attempt: int = Field(ge=1)


class StageStatus(Part):
    """Where one stage of the current attempt stands; `report` is there once it is done."""

    index: int = Field(ge=0, le=7)
    worker: Name | None = None
    delivery: int = Field(default=1, ge=1)
    started_at: float | None = None
    report: StageReport | None = None


class ResultRef(Part):
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    nbytes: int = Field(ge=1)
    images: tuple[ImageRef, ...]
    worker: Name
    attempt: int = Field(ge=1)


class JobRecord(Message):
    """`waiting_reason` and `waiting_message` answer "why is it waiting?" while the state is not final."""

    request: JobRequest
    state: JobState = JobState.PENDING
    attempt: int = Field(default=1, ge=1)
    waiting_reason: Waiting | None = Waiting.ACCEPTED
    waiting_message: str = ""
    not_before: float = Field(default=0.0, description="a new attempt is not scheduled before this time")
    decision: Decision | None = None
    stages: tuple[StageStatus, ...] = ()
    avoid: tuple[Name, ...] = ()
    spent_edge_s: float = Field(default=0.0, ge=0, description="edge seconds of earlier attempts")
    failures: tuple[Failure, ...] = ()
    resumed_at: float | None = Field(
        default=None, description="last, or when its RelayJob was made; the time to start counts from then"
    )
    scheduled_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    result: ResultRef | None = None
    error: Failure | None = None

    @property
    def job_id(self) -> str:
        return self.request.job_id

    @property
    def planned(self) -> tuple[Stage, ...]:
        """The stages that were decided; none while nothing is."""
        return self.decision.configuration.stages if self.decision is not None else ()

    @property
    def finished(self) -> bool:
        return self.state in TERMINAL
