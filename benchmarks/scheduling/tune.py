"""The settings of every policy, chosen on seeds that are used for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from statistics import fmean

from benchmarks.scheduling.entrants import ENTRANTS, Settings
from benchmarks.scheduling.replay import play
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.worlds import world_of

FIRST_SEED = 10_000
"""Tuning's seeds begin here, far from those that are reported."""


@dataclass(frozen=True)
class Trial:
    """One entrant with one choice of its settings in one world of a tuning seed."""

    kind: str
    entrant: str
    settings: Settings
    seed: int
    options: Options


def regret(trial: Trial) -> float:
    """The total regret of a trial."""
    world = world_of(trial.kind, trial.seed, trial.options)
    return play(ENTRANTS[trial.entrant].make(world, trial.seed, trial.settings), world).total


def tune(kind: str, names: Sequence[str], seeds: int, options: Options, pool: Executor) -> dict[str, Settings]:
    """By entrant, the settings of least mean regret over ``seeds`` seeds of a kind of world."""
    trials = [
        Trial(kind, name, settings, FIRST_SEED + seed, options)
        for seed in range(seeds)  # seeds outermost: a process makes each world once
        for name in names
        if not ENTRANTS[name].settings_of
        for settings in ENTRANTS[name].choices()
    ]
    return best(trials, list(pool.map(regret, trials, chunksize=4)))


def best(trials: Sequence[Trial], regrets: Sequence[float]) -> dict[str, Settings]:
    """By entrant, the settings of least mean regret; of equals the first."""
    found: dict[str, dict[str, tuple[Settings, list[float]]]] = {}
    for trial, total in zip(trials, regrets, strict=True):
        of_entrant = found.setdefault(trial.entrant, {})
        of_entrant.setdefault(repr(trial.settings), (trial.settings, []))[1].append(total)
    return {name: min(choices.values(), key=lambda choice: fmean(choice[1]))[0] for name, choices in found.items()}
