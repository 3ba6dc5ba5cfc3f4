"""The front door "command line": the matrix, the cells that need a platform of their own, then the random run."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.chaos import cells, disk, matrix, plan, soak, storm
from benchmarks.chaos.ledger import followed
from benchmarks.chaos.matrix import Tell
from benchmarks.chaos.modules import Stage
from benchmarks.chaos.words import Cell, Note, Result
from benchmarks.chaos.world import Makeup, world

NONE = "none"
"""What `only` is where no cell is to be run."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be run: the cells that have `only` in their words, then `jobs` in a storm where all or no cells are
    asked for, then a soak of so many minutes, whose samples go into `soaked`. `stage` None: every cell with light
    workers, which start in a second; those that strike a worker at its work, and the storm, with a model."""

    only: str = ""
    jobs: int = 2000
    seed: int = 0
    stage: Stage | None = None
    soak: float = 0.0
    soaked: Path = Path("out/chaos-soak.json")
    logs: Path | None = None


async def run(wish: Wish, tell: Tell, note: Note) -> None:
    """All of it."""
    with TemporaryDirectory(prefix="rise-chaos-") as folder:
        try:
            chosen = [] if wish.only == NONE else list(cells.cells(wish.only))
            await _matrix(Makeup(wish.stage or "light"), chosen, Path(folder), tell, note)
            modelled = [cell for cell in chosen if wish.stage is None and cells.is_at_work(cell)]
            await _matrix(Makeup("real"), modelled, Path(folder) / "real", tell, note)
            if wish.only in ("", NONE) and wish.jobs:
                note(await _storm(wish, Path(folder) / "storm", tell))
            if wish.soak:
                note(await _soak(wish, Path(folder) / "soak", tell))
        finally:
            if wish.logs is not None:
                shutil.copytree(folder, wish.logs, ignore=shutil.ignore_patterns("store", "disk"), dirs_exist_ok=True)


async def _storm(wish: Wish, folder: Path, tell: Tell) -> list[Result]:
    async with world(Makeup(wish.stage or "real"), folder) as made, followed(made.bus) as ledger:
        planned = itertools.islice(plan.jobs(wish.seed), wish.jobs)
        return await storm.run(made, ledger, wish.seed, planned, tell)


async def _soak(wish: Wish, folder: Path, tell: Tell) -> list[Result]:
    makeup = Makeup(wish.stage or "real")
    async with world(makeup, folder) as made, followed(made.bus) as ledger, soak.watched(made) as samples:
        planned = soak.jobs(wish.seed, 60 * wish.soak)
        results = await storm.run(made, ledger, wish.seed, planned, tell, calm_s=soak.CALM_S, every_s=soak.JOB_EVERY_S)
    found = soak.judged(samples, results, wish.seed)
    soak.write(found, samples, wish.soaked)
    for drift in found.drifts:
        if not drift.flat:
            tell(f"{drift.name}: {drift.what} grew from {drift.before:.1f} to {drift.after:.1f}")
    return results


async def _matrix(makeup: Makeup, chosen: Sequence[Cell], folder: Path, tell: Tell, note: Note) -> None:
    """Cells whose server's disk is to be full have a world with a small one, those that behead a cluster one with
    three servers; a model is no part of these."""
    full, headless = ([cell for cell in chosen if cell.fault == fault] for fault in (cells.FULL, cells.NO_LEADER))
    usual = [cell for cell in chosen if cell not in full and cell not in headless]
    if usual:
        async with matrix.stage(makeup, folder / "matrix") as on:
            note(await matrix.run(on, usual, tell))
    if full and disk.lacks():
        note([Result(cell, jobs=0, lacks=disk.lacks()) for cell in full])
    elif full:
        with disk.small(folder / "disk") as small:
            async with matrix.stage(Makeup("light", store=small / "store"), folder / "cramped") as on:
                note(await matrix.run(on, full, tell))
    if headless:
        async with matrix.stage(Makeup("light", servers=3), folder / "cluster") as on:
            note(await matrix.run(on, headless, tell))
