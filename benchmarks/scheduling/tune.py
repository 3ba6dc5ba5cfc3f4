"""The settings of every policy, chosen on seeds that are used for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from statistics import fmean

from benchmarks.scheduling import contest
from benchmarks.scheduling.contest import Entry
from benchmarks.scheduling.entrants import ENTRANTS, Settings
from benchmarks.scheduling.shifts import Options

FIRST_SEED = 10_000
"""Tuning's seeds begin here, far from those that are reported."""


def tune(kind: str, names: Sequence[str], seeds: int, options: Options, pool: Executor) -> dict[str, Settings]:
    """By entrant, the settings of least mean regret over ``seeds`` seeds of a kind of world."""
    trials = [
        Entry(kind, name, settings, FIRST_SEED + seed, options)
        for seed in range(seeds)  # seeds outermost: a process makes each world once
        for name in names
        if not ENTRANTS[name].settings_of
        for settings in ENTRANTS[name].choices()
    ]
    return best(trials, list(pool.map(contest.regret, trials, chunksize=4)))


def best(trials: Sequence[Entry], regrets: Sequence[float]) -> dict[str, Settings]:
    """By entrant, the settings of least mean regret; of equals the first."""
    found: dict[str, dict[str, tuple[Settings, list[float]]]] = {}
    for trial, total in zip(trials, regrets, strict=True):
        of_entrant = found.setdefault(trial.entrant, {})
        of_entrant.setdefault(repr(trial.settings), (trial.settings, []))[1].append(total)
    return {name: min(choices.values(), key=lambda choice: fmean(choice[1]))[0] for name, choices in found.items()}
