"""The front door "command line": the matrix, then the random run, each in worlds of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.chaos import cells, matrix
from benchmarks.chaos.matrix import Tell
from benchmarks.chaos.words import Result
from benchmarks.chaos.world import Makeup


async def run(only: str, count: int, seed: int, logs: Path | None, tell: Tell) -> list[Result]:
    """The results of all cells, then of the random run of `count` jobs."""
    with TemporaryDirectory(prefix="rise-chaos-") as folder:
        try:
            chosen = list(cells.cells(only)) if only != "none" else []
            results: list[Result] = []
            if chosen:
                async with matrix.stage(Makeup("real"), Path(folder) / "matrix") as on:
                    results += await matrix.run(on, chosen, tell)
            return results
        finally:
            if logs is not None:
                shutil.copytree(folder, logs, ignore=shutil.ignore_patterns("store"), dirs_exist_ok=True)
