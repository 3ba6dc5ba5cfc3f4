"""The fault matrix: which faults strike whom, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from benchmarks.chaos.moments import DEVICE, DRIVER, EDGE, SCHEDULER
from benchmarks.chaos.words import Cell, Door, Moment

SERVER: Final = "nats-server"
CLUSTER: Final = "nats cluster of 3"
ALL: Final = "all of them"

KILLED, FROZEN, STOPPED, NO_MEMORY = "killed", "frozen, then awake", "told to stop", "out of memory"
CUT_SHORT, CUT_LONG = "cut off for 5 s", "cut off for 60 s"
CUT_UP, CUT_DOWN = "not heard for 5 s", "deaf for 5 s"
SLOW, FULL, NO_LEADER = "slow consumer", "disk full", "leader killed"
AHEAD, BEHIND = "clock 5 min ahead", "clock 5 min behind"
ROLLED: Final = "restarted one by one"

_EVERY: Final = tuple(Moment)
_AT_WORK: Final = (Moment.IN_HEAD, Moment.LATENT_STORED, Moment.IN_TAIL, Moment.RESULT_STORED)
_OF_EDGE: Final = (Moment.BEFORE_DISPATCH, Moment.IN_HEAD, Moment.LATENT_STORED, Moment.IN_TAIL)
_OF_DEVICE: Final = (Moment.LATENT_STORED, Moment.IN_TAIL, Moment.RESULT_STORED, Moment.WRITING_STATUS)
_MIDDLE: Final = (Moment.IN_HEAD, Moment.IN_TAIL)

_PLAN: Final[tuple[tuple[str, str, tuple[Moment, ...]], ...]] = (
    *((KILLED, target, _EVERY) for target in (DRIVER, SCHEDULER, EDGE, DEVICE, SERVER)),
    *((FROZEN, target, _EVERY) for target in (DRIVER, SCHEDULER, SERVER)),
    (FROZEN, EDGE, _OF_EDGE),
    (FROZEN, DEVICE, _OF_DEVICE),
    *((STOPPED, target, _EVERY) for target in (DRIVER, SCHEDULER)),
    (STOPPED, EDGE, _OF_EDGE),
    (STOPPED, DEVICE, _OF_DEVICE),
    (STOPPED, SERVER, _AT_WORK),
    (NO_MEMORY, DRIVER, (Moment.BEFORE_DISPATCH, Moment.WRITING_STATUS)),
    (NO_MEMORY, SCHEDULER, (Moment.BEFORE_DECISION, Moment.IN_HEAD)),
    (NO_MEMORY, EDGE, (Moment.IN_HEAD, Moment.LATENT_STORED)),
    (NO_MEMORY, DEVICE, (Moment.IN_TAIL, Moment.RESULT_STORED)),
    (NO_MEMORY, SERVER, _MIDDLE),
    *((fault, EDGE, (Moment.IN_HEAD, Moment.LATENT_STORED)) for fault in (CUT_SHORT, CUT_LONG, CUT_UP, CUT_DOWN)),
    *((fault, DEVICE, (Moment.IN_TAIL, Moment.RESULT_STORED)) for fault in (CUT_SHORT, CUT_LONG, CUT_UP, CUT_DOWN)),
    *((CUT_SHORT, DRIVER, (moment,)) for moment in (Moment.BEFORE_DISPATCH, Moment.WRITING_STATUS)),
    (SLOW, EDGE, (Moment.IN_HEAD,)),
    (SLOW, DEVICE, (Moment.IN_TAIL,)),
    (SLOW, DRIVER, (Moment.IN_HEAD,)),
    *((fault, target, _MIDDLE) for fault in (AHEAD, BEHIND) for target in (EDGE, DEVICE)),
    (FULL, SERVER, _AT_WORK),
    (NO_LEADER, CLUSTER, _AT_WORK),
    (ROLLED, ALL, _MIDDLE),
)


def cells(only: str = "") -> Iterator[Cell]:
    """Every cell of the command line's matrix; with `only` those that have this in their words."""
    for fault, target, moments in _PLAN:
        for moment in moments:
            cell = Cell(fault, target, moment, Door.COMMAND_LINE)
            if only.lower() in said(cell).lower():
                yield cell


def is_at_work(cell: Cell) -> bool:
    """Whether it strikes a worker in the middle of what it does: what a model has to do with."""
    return cell.fault in (KILLED, FROZEN, STOPPED) and (cell.target, cell.moment) in (
        (EDGE, Moment.IN_HEAD),
        (EDGE, Moment.LATENT_STORED),
        (DEVICE, Moment.IN_TAIL),
        (DEVICE, Moment.RESULT_STORED),
    )


def said(cell: Cell) -> str:
    """The cell in a line."""
    return f"{cell.target} {cell.fault}, {cell.moment}"


def targets(chosen: Iterable[Cell]) -> tuple[str, ...]:
    """Whom the cells strike, each once, in their order."""
    return tuple(dict.fromkeys(cell.target for cell in chosen))
