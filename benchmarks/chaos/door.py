"""The front door "command line": the matrix, the cells that need a platform of their own, then the random run."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.chaos import cells, disk, matrix, storm
from benchmarks.chaos.ledger import followed
from benchmarks.chaos.matrix import Tell
from benchmarks.chaos.words import Cell, Result
from benchmarks.chaos.world import Makeup, Stage, world

NONE = "none"
"""What `only` is where no cell is to be run."""


async def run(only: str, count: int, seed: int, stage: Stage, logs: Path | None, tell: Tell) -> list[Result]:
    """The results of the cells that have `only` in their words; without it, or with none of them, also those of the
    random run of `count` jobs."""
    makeup = Makeup(stage)
    with TemporaryDirectory(prefix="rise-chaos-") as folder:
        try:
            chosen = [] if only == NONE else list(cells.cells(only))
            results = await _matrix(makeup, chosen, Path(folder), tell)
            if only in ("", NONE) and count:
                async with world(makeup, Path(folder) / "storm") as made, followed(made.bus) as ledger:
                    results += await storm.run(made, ledger, seed, count, tell)
            return results
        finally:
            if logs is not None:
                shutil.copytree(folder, logs, ignore=shutil.ignore_patterns("store"), dirs_exist_ok=True)


async def _matrix(makeup: Makeup, chosen: Sequence[Cell], folder: Path, tell: Tell) -> list[Result]:
    """Cells whose server's disk is to be full have a world with a small one."""
    usual = [cell for cell in chosen if cell.fault != cells.FULL]
    cramped = [cell for cell in chosen if cell.fault == cells.FULL]
    results: list[Result] = []
    if usual:
        async with matrix.stage(makeup, folder / "matrix") as on:
            results += await matrix.run(on, usual, tell)
    if cramped and disk.lacks():
        results += [Result(cell, jobs=0, lacks=disk.lacks()) for cell in cramped]
    elif cramped:
        with disk.small(folder / "disk") as small:
            async with matrix.stage(replace(makeup, store=small / "store"), folder / "cramped") as on:
                results += await matrix.run(on, cramped, tell)
    return results
