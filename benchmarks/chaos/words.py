"""What is said of a fault and of what came of it. Both doors, command line and Kubernetes, say it in these words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Moment(StrEnum):
    """Where a job is when the fault strikes; each is a message on the wire that is held back meanwhile."""

    BEFORE_DECISION = "before the decision"
    BEFORE_DISPATCH = "between decision and dispatch"
    IN_HEAD = "in the head"
    LATENT_STORED = "between latent stored and ack"
    IN_TAIL = "in the tail"
    RESULT_STORED = "between result stored and ack"
    WRITING_STATUS = "while status is written"
    IN_DELETION = "in deletion"


RUNNING_JOB = "running job"
"""The target of a row beside a cell: what a job under way noticed of somebody else's fault, which is to be nothing."""


class Door(StrEnum):
    """How the job came in."""

    COMMAND_LINE = "command line"
    RELAY_JOB = "RelayJob"


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault to one process, or link, at one moment. `fault` and `target` are words of the table: "killed",
    "edge worker"."""

    fault: str
    target: str
    moment: Moment
    door: Door


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a cell, or of the part of a random run in which one fault struck.

    Attributes:
        jobs: that were accepted.
        lost: that are in no store any more, or ended otherwise than asked.
        duplicated: with more than one result, or with one that an undisturbed run does not give.
        hung: not terminal within their deadline.
        left: what lies in stores, queues and folders still, each named; empty is right.
        recovery_s: how much longer the job took that the fault hit than one undisturbed; None where it hit none.
        recomputed: steps made twice; None where no worker was hit.
        lacks: what this machine has not, so that the cell was not run.
    """

    cell: Cell
    jobs: int
    lost: int = 0
    duplicated: int = 0
    hung: int = 0
    left: tuple[str, ...] = ()
    recovery_s: float | None = None
    recomputed: int | None = None
    lacks: str = ""

    @property
    def right(self) -> bool:
        """Whether nothing was lost, nothing was done twice, and nothing is left over."""
        return not (self.lost or self.duplicated or self.hung or self.left or self.lacks)


Note = Callable[[Sequence[Result]], None]
"""Takes what came of a part of a run, as soon as it is over."""
