"""The most telling cells of the fault matrix, with workers that have no model; `make chaos` runs all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from benchmarks.chaos import cells, jobs, light, matrix, memory
from benchmarks.chaos.matrix import Stage
from benchmarks.chaos.moments import DEVICE, DRIVER, EDGE, SCHEDULER
from benchmarks.chaos.words import Cell, Door, Moment
from benchmarks.chaos.world import SERVER, Makeup

ACK_WAIT_S = 1.0
DEADLY = (cells.KILLED, cells.FROZEN, cells.NO_MEMORY)
TELLING = [
    (cells.KILLED, DRIVER, Moment.BEFORE_DISPATCH),
    (cells.KILLED, DRIVER, Moment.WRITING_STATUS),
    (cells.KILLED, DRIVER, Moment.IN_DELETION),
    (cells.KILLED, SCHEDULER, Moment.BEFORE_DECISION),
    (cells.KILLED, EDGE, Moment.IN_HEAD),
    (cells.KILLED, EDGE, Moment.LATENT_STORED),
    (cells.KILLED, DEVICE, Moment.IN_TAIL),
    (cells.KILLED, DEVICE, Moment.RESULT_STORED),
    (cells.KILLED, SERVER, Moment.LATENT_STORED),
    (cells.KILLED, SERVER, Moment.RESULT_STORED),
    (cells.FROZEN, DRIVER, Moment.BEFORE_DECISION),
    (cells.FROZEN, EDGE, Moment.IN_HEAD),
    (cells.FROZEN, DEVICE, Moment.RESULT_STORED),
    (cells.STOPPED, EDGE, Moment.IN_HEAD),
    (cells.CUT_UP, DEVICE, Moment.RESULT_STORED),
    (cells.AHEAD, DEVICE, Moment.IN_TAIL),
    (cells.NO_MEMORY, EDGE, Moment.IN_HEAD),
]
CELLS = [Cell(fault, target, moment, Door.COMMAND_LINE) for fault, target, moment in TELLING]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def on(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """A platform of processes behind taps, and what an undisturbed job is there."""
    folder: Path = tmp_path_factory.mktemp("chaos") / "world"
    async with matrix.stage(Makeup("light", ack_wait_s=ACK_WAIT_S), folder) as stage:
        yield stage


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("cell", CELLS, ids=[cells.said(cell) for cell in CELLS])
async def test_nothing_is_lost(on: Stage, cell: Cell) -> None:
    result = await matrix.run_cell(on, cell)
    if result.lacks:
        assert cell.fault == cells.NO_MEMORY and result.lacks == memory.lacks()
        pytest.skip(result.lacks)
    assert result.right, matrix.line(result)
    assert result.jobs == 2
    assert result.recovery_s is not None
    if cell.moment in (Moment.IN_HEAD, Moment.IN_TAIL) and cell.fault in DEADLY:
        # It was struck in mid-stage, and another went on from what it had kept.
        assert result.recomputed is not None
        assert 0 < result.recomputed <= jobs.STEP - light.EVERY


def test_the_telling_cells_are_of_the_matrix() -> None:
    assert set(CELLS) <= set(cells.cells())
