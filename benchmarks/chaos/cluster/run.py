"""All of this door: the matrix with light workers, the cells that are run with a model too, then the random run."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.chaos.cluster import cells, matrix, storm
from benchmarks.chaos.cluster.makeup import Makeup
from benchmarks.chaos.cluster.matrix import Tell
from benchmarks.chaos.words import Note

STORM_LEASE_S = 5.0
"""Shorter than by default, so that more faults strike in the same time."""


def run(only: str, seed: int, tell: Tell, note: Note) -> None:
    """The cells that have `only` in their words, or no cell where it is "none", and the random run of `seed`."""
    with TemporaryDirectory(prefix="rise-chaos-") as folder:
        for makeup, plan in (
            (Makeup("light"), cells.cells),
            (Makeup("real"), cells.real),
            (Makeup("pods"), cells.pods),
        ):
            chosen = list(plan(only))
            if chosen and only != "none":
                with matrix.stage(makeup, Path(folder) / makeup.stage) as on:
                    note(matrix.run(on, chosen, tell))
        if not only or only == "none":
            with matrix.stage(Makeup(lease_s=STORM_LEASE_S), Path(folder) / "storm") as on:
                note(storm.run(on, seed, tell))
