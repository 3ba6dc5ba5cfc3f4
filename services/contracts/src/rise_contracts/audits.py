"""Audits: how near a job's pictures come to those that the base member alone makes of the same noise.

The base member's run is a job of its own. Its idempotency key names the job that is audited, so that it is made once
however often it is asked for, and so that everybody can tell that no user waits for it.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from rise_contracts.messages import JobId
from rise_contracts.model import Message, Name, Part, Seconds
from rise_contracts.resources import RelayJobSpec

_KEY: Final = "audit-of/"

Fidelity = Annotated[float, Field(ge=0, le=1)]
"""1: the base member's very picture; 0: not like it at all."""


def key_of(job_id: str) -> str:
    """The idempotency key of the base member's run for this job."""
    return _KEY + job_id


def is_audit(spec: RelayJobSpec) -> bool:
    """Whether the job is such a run, rather than one that somebody wants the pictures of."""
    return (spec.idempotency_key or "").startswith(_KEY)


class Audit(Message):
    """One job held against the base member's run. `fidelity` is the mean over its `pictures`."""

    job_id: JobId
    decision_id: str
    family: Name
    arm: str
    base_arm: str
    fidelity: Fidelity
    pictures: tuple[Fidelity, ...] = Field(min_length=1)
    edge_s: Seconds = Field(description="of the edge's time that the base member's run took")
    at: float


class ArmFidelity(Part):
    """What the audits say of one arm: the mean of `n`, and their standard deviation (None of a single one)."""

    family: Name
    arm: str
    base_arm: str
    n: int = Field(ge=1)
    mean: Fidelity
    deviation: float | None = None
