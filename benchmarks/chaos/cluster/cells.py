"""The fault matrix of the front door "RelayJob": which faults strike whom, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from benchmarks.chaos.words import Cell, Door, Moment

LEADER, STANDBY, BOTH = "operator leader", "operator standby", "operators, both"
SCHEDULER, EDGE, DEVICE, SERVER = "scheduler", "edge worker", "device worker", "nats-server"
POD_MAKER, POD_JOB, NODE = "operator leader, making pods", "RelayJob with pods of its own", "node of an edge worker"
API, ETCD, JOB, SPACE, ALL = "API server", "etcd", "RelayJob", "namespace", "all of them"

KILLED, SPOKEN, STARTED_AGAIN = "killed", "killed as it had spoken", "killed, started again at once"
FROZEN, STOPPED, NO_MEMORY = "frozen, then awake", "told to stop", "out of memory"
PAUSED, DELETED, ROLLED, SILENT = "held for 60 s", "deleted", "restarted one by one", "not ready"
DEDICATED: Final = (POD_MAKER, POD_JOB)
"""Here the decision waits for pods, and the making of one is what is held before it."""

_EVERY: Final = tuple(Moment)
_AT_WORK: Final = (Moment.IN_HEAD, Moment.LATENT_STORED, Moment.IN_TAIL, Moment.RESULT_STORED)
_MIDDLE: Final = (Moment.IN_HEAD, Moment.IN_TAIL)
_DECIDED: Final = (Moment.BEFORE_DECISION, Moment.BEFORE_DISPATCH)
_TOLD: Final = (Moment.WRITING_STATUS, Moment.IN_DELETION)

_PLAN: Final[tuple[tuple[str, str, tuple[Moment, ...]], ...]] = (
    *((fault, LEADER, _EVERY) for fault in (KILLED, SPOKEN, FROZEN, STOPPED)),
    (STARTED_AGAIN, LEADER, (*_DECIDED, *_TOLD)),
    (NO_MEMORY, LEADER, (Moment.BEFORE_DISPATCH, Moment.WRITING_STATUS)),
    *((fault, STANDBY, (Moment.IN_HEAD,)) for fault in (KILLED, FROZEN, STOPPED, NO_MEMORY)),
    (KILLED, BOTH, (Moment.IN_HEAD, Moment.RESULT_STORED, *_TOLD)),
    (KILLED, SCHEDULER, (*_DECIDED, *_MIDDLE, Moment.WRITING_STATUS)),
    (FROZEN, SCHEDULER, (Moment.BEFORE_DECISION, Moment.IN_HEAD)),
    (STOPPED, SCHEDULER, (Moment.BEFORE_DECISION, Moment.IN_TAIL)),
    (NO_MEMORY, SCHEDULER, (Moment.IN_HEAD,)),
    (KILLED, EDGE, (Moment.BEFORE_DISPATCH, Moment.IN_HEAD, Moment.LATENT_STORED)),
    *((fault, EDGE, (Moment.IN_HEAD,)) for fault in (FROZEN, STOPPED, NO_MEMORY)),
    (KILLED, DEVICE, (Moment.LATENT_STORED, Moment.IN_TAIL, Moment.RESULT_STORED)),
    *((fault, DEVICE, (Moment.IN_TAIL,)) for fault in (FROZEN, STOPPED, NO_MEMORY)),
    (KILLED, SERVER, _EVERY),
    (FROZEN, SERVER, (Moment.IN_HEAD, Moment.WRITING_STATUS)),
    # Before the API server is struck: the controller of namespaces looks at nothing for a while after that.
    (DELETED, SPACE, (Moment.BEFORE_DISPATCH, Moment.IN_HEAD, Moment.WRITING_STATUS)),
    (PAUSED, API, (Moment.IN_HEAD, Moment.WRITING_STATUS)),
    (KILLED, API, (Moment.BEFORE_DECISION, *_AT_WORK, *_TOLD)),
    (KILLED, ETCD, (Moment.IN_HEAD, *_TOLD)),
    (DELETED, JOB, _EVERY[:-1]),
    (ROLLED, ALL, _MIDDLE),
)
REAL: Final[tuple[tuple[str, str, Moment], ...]] = (
    (KILLED, LEADER, Moment.IN_HEAD),
    (FROZEN, LEADER, Moment.WRITING_STATUS),
    (KILLED, STANDBY, Moment.IN_HEAD),
    (KILLED, SCHEDULER, Moment.IN_HEAD),
    (KILLED, EDGE, Moment.IN_HEAD),
    (KILLED, DEVICE, Moment.IN_TAIL),
    (KILLED, SERVER, Moment.IN_HEAD),
    (KILLED, API, Moment.IN_TAIL),
    (KILLED, ETCD, Moment.IN_HEAD),
    (DELETED, JOB, Moment.IN_TAIL),
)
"""Those that are run with the embedded family's own workers too: one for each target."""
_PODS: Final[tuple[tuple[str, str, Moment], ...]] = (
    *((fault, POD_MAKER, Moment.BEFORE_DECISION) for fault in (KILLED, SPOKEN, FROZEN, STOPPED)),
    (DELETED, POD_JOB, Moment.BEFORE_DECISION),
    (DELETED, POD_JOB, Moment.IN_HEAD),
    (SILENT, NODE, Moment.IN_HEAD),
    (KILLED, NODE, Moment.IN_HEAD),
)


def cells(only: str = "") -> Iterator[Cell]:
    """Every cell of this door's matrix; with `only` those that have this in their words."""
    return _of(((fault, target, moment) for fault, target, moments in _PLAN for moment in moments), only)


def real(only: str = "") -> Iterator[Cell]:
    """Those that are run again with a model."""
    return _of(REAL, only)


def pods(only: str = "") -> Iterator[Cell]:
    """Those in which workers are pods on nodes, with a model."""
    return _of(_PODS, only)


def _of(plan: Iterable[tuple[str, str, Moment]], only: str) -> Iterator[Cell]:
    for fault, target, moment in plan:
        cell = Cell(fault, target, moment, Door.RELAY_JOB)
        if only.lower() in said(cell).lower():
            yield cell


def said(cell: Cell) -> str:
    """The cell in a line."""
    return f"{cell.target} {cell.fault}, {cell.moment}"
