"""What a random run does, from a seed alone: the jobs one after the other, and the faults. Pure; replayed, it is the
same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.chaos import cells
from benchmarks.chaos.words import Cell, Moment

SEEDS: Final = (3, 5, 7, 11)
"""Of the noise. Few, so that every picture is also made undisturbed."""
CUTS: Final[tuple[tuple[int, int], ...]] = ((12, 8), (8, 6), (3, 6))
"""Steps of head and tail where a job fixes them."""
FAULTS: Final = (cells.KILLED, cells.FROZEN, cells.STOPPED, cells.NO_MEMORY, cells.CUT_SHORT, cells.CUT_UP)
WEIGHTS: Final = (8, 3, 3, 1, 2, 1)
Then = Literal["nothing", "cancel", "again"]


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job. `cut` None leaves the relay to the scheduler; `then`: it is cancelled `after_s`, or submitted again
    under the same key; with `expires` it removes itself soon after its end."""

    number: int
    seed: int
    images: int
    cut: tuple[int, int] | None
    preference: float
    then: Then
    after_s: float
    expires: bool


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault that strikes when the next job that gets so far is at the cell's moment."""

    number: int
    cell: Cell


def jobs(seed: int) -> Iterator[PlannedJob]:
    """As many jobs as are wanted."""
    draw = random.Random(f"jobs {seed}")
    number = 0
    while True:
        then: Then = draw.choices(("nothing", "cancel", "again"), (90, 5, 5))[0]
        yield PlannedJob(
            number,
            seed=draw.choice(SEEDS),
            images=draw.choice((1, 1, 1, 2)),
            cut=draw.choice((*CUTS, None)),
            preference=draw.choice((0.0, 0.5, 1.0)),
            then=then,
            after_s=draw.uniform(0.0, 0.5),
            expires=draw.random() < 0.1,
        )
        number += 1


def faults(seed: int) -> Iterator[PlannedFault]:
    """As many faults as there is time for: of the matrix's own cells, those that hit one process for a short while."""
    draw = random.Random(f"faults {seed}")
    choices: dict[str, list[Cell]] = {}
    for cell in cells.cells():
        # A job that is to be deleted is rare, and waiting for one would keep the others from being struck.
        if cell.moment is not Moment.IN_DELETION:
            choices.setdefault(cell.fault, []).append(cell)
    number = 0
    while True:
        fault = draw.choices(FAULTS, WEIGHTS)[0]
        yield PlannedFault(number, draw.choice(choices[fault]))
        number += 1
