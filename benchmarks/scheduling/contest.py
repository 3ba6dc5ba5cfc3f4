"""All entrants in all worlds of the reported seeds, and what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from benchmarks.scheduling.entrants import EVERYONE, Settings, chosen
from benchmarks.scheduling.replay import Played, play
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.world import World
from benchmarks.scheduling.worlds import world_of


@dataclass(frozen=True)
class Entry:
    """One entrant in the world of one seed."""

    kind: str
    entrant: str
    settings: Settings
    seed: int
    options: Options


@dataclass(frozen=True, eq=False)
class Score:
    """``calm`` (jobs,) is the regret of each job before the first shift, ``phases`` totals within each."""

    entry: Entry
    regret: float
    calm: np.ndarray
    phases: Mapping[str, float]
    mean_latency_s: float
    p95_latency_s: float


def played_by(entry: Entry) -> tuple[World, Played]:
    """Play one entry, in its world."""
    world = world_of(entry.kind, entry.seed, entry.options)
    return world, play(EVERYONE[entry.entrant].make(world, entry.seed, entry.settings), world)


def regret(entry: Entry) -> float:
    """The total regret of an entry, which is all that tuning asks."""
    return played_by(entry)[1].total


def score(entry: Entry) -> Score:
    """What an entry came to."""
    world, played = played_by(entry)
    count = len(played.regret)
    spans = {name: slice(round(a * count), round(b * count)) for name, (a, b) in world.phases.items()}
    return Score(
        entry,
        played.total,
        played.regret[spans["calm"]],
        {name: float(played.regret[span].sum()) for name, span in spans.items()},
        float(played.latency.mean()),
        float(np.quantile(played.latency, 0.95)),
    )


def contest(
    kind: str, names: Sequence[str], tuned: Mapping[str, Settings], seeds: int, options: Options, pool: Executor
) -> dict[str, list[Score]]:
    """By entrant, a score of each seed."""
    entries = [
        Entry(kind, name, chosen(EVERYONE[name], tuned), seed, options) for seed in range(seeds) for name in names
    ]
    found: dict[str, list[Score]] = {name: [] for name in names}
    # A chunk is a seed: whoever takes it makes its world once.
    for result in pool.map(score, entries, chunksize=len(names)):
        found[result.entry.entrant].append(result)
    return found
