"""Bringing a job to a moment: holds at whoever may say the message, and the first that does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from benchmarks.chaos import cells, moments
from benchmarks.chaos.tap import Hold
from benchmarks.chaos.words import Cell
from benchmarks.chaos.world import SERVER, World
from rise_contracts import errors

REACH_S: Final = 60.0
"""Until the moment; a job that is not there by then is not on its way."""


def armed(world: World, cell: Cell, job_id: str, step: int) -> list[Hold]:
    """A hold at each process that may come to the cell's moment with this job. `step`: as in `moments.sign`."""
    sign = moments.sign(cell.moment, cell.target, job_id, step)
    return [world.tap(name).hold(*sign.until) for name in world.names(sign.whose)]


async def first(holds: Sequence[Hold], patience: float = REACH_S) -> Hold:
    """The one that holds; the others wait for nothing any more. Raises Waited after `patience` seconds."""
    waits = {asyncio.create_task(hold.met.wait()): hold for hold in holds}
    done, pending = await asyncio.wait(waits, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
        waits[task].let_go()
    if not done:
        raise errors.Waited("the moment of the cell", patience, "see the logs of the processes")
    return waits[done.pop()]


def victim(world: World, cell: Cell, hold: Hold) -> str:
    """The process of the target's kind whose message it is, or else the first one of its kind."""
    names = world.names(SERVER if cell.target in (cells.ALL, cells.CLUSTER) else cell.target)
    own = (name for name in names if world.parts[name].tap is hold.tap)
    return next(own, names[0])
