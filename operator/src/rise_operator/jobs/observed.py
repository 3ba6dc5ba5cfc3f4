"""Everything that is decided upon about one RelayJob, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from rise_contracts.records import JobRecord
from rise_contracts.status import JobReason
from rise_operator.seen import SeenJob, SeenPod, SeenPool


class Hindrance(NamedTuple):
    """Why a job is not on the bus (yet). `final`: it never will be."""

    reason: JobReason
    message: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Observed:
    """One RelayJob and what bears upon it.

    Attributes:
        record: what the bus says of it; None where it knows nothing, or was not `read` to its end yet.
        others: the RelayJobs that are the same job by its idempotency key.
        missing: why its family cannot be used; None where it can.
        bus: why the bus cannot be used; empty where it can.
        templates: for a job with pods of its own, the pools that these are made after, one per tier.
        pods: those pods.
        nodes: where each living worker is.
        controller: this installation.
        now: Unix seconds.
    """

    job: SeenJob
    now: float
    record: JobRecord | None = None
    read: bool = True
    others: tuple[SeenJob, ...] = ()
    missing: Hindrance | None = None
    bus: str = ""
    templates: tuple[SeenPool, ...] = ()
    pods: tuple[SeenPod, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)
    controller: str = ""
