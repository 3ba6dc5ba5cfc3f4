"""All entrants of the closed loop at all loads, and the tuning for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from statistics import fmean

from benchmarks.scheduling.closedloop import Load, Loop, Result
from benchmarks.scheduling.entrants import EVERYONE, Settings, chosen
from benchmarks.scheduling.tune import FIRST_SEED

TUNED_AT = (Load(0.9, 1.0, 1000), Load(1.6, 2.0, 1000))
"""Settings are chosen for a calm and for a full edge together, for both will come."""


@dataclass(frozen=True)
class Turn:
    """One entrant at one load with one seed."""

    entrant: str
    settings: Settings
    seed: int
    load: Load


def turn(of: Turn) -> Result:
    """Run one."""
    loop = Loop(of.seed, of.load)
    return loop.run(EVERYONE[of.entrant].make(loop, of.seed, of.settings))


def run(
    names: Sequence[str], loads: Mapping[Load, int], tuned: Mapping[str, Settings], pool: Executor
) -> dict[tuple[Load, str], list[Result]]:
    """By load and entrant, a result of each seed; ``loads`` says how many seeds each load gets."""
    turns = [
        Turn(name, chosen(EVERYONE[name], tuned), seed, load)
        for load, seeds in loads.items()
        for seed in range(seeds)
        for name in names
    ]
    found: dict[tuple[Load, str], list[Result]] = {(load, name): [] for load in loads for name in names}
    for each, result in zip(turns, pool.map(turn, turns), strict=True):
        found[each.load, each.entrant].append(result)
    return found


def tune(names: Sequence[str], seeds: int, pool: Executor) -> dict[str, Settings]:
    """By entrant, the settings of the highest mean utility over both loads of TUNED_AT."""
    turns = [
        Turn(name, settings, FIRST_SEED + seed, load)
        for name in names
        if EVERYONE[name].grid and not EVERYONE[name].settings_of
        for settings in EVERYONE[name].choices()
        for load in TUNED_AT
        for seed in range(seeds)
    ]
    utilities: dict[str, dict[str, tuple[Settings, list[float]]]] = {}
    for each, result in zip(turns, pool.map(turn, turns), strict=True):
        of_entrant = utilities.setdefault(each.entrant, {})
        of_entrant.setdefault(repr(each.settings), (each.settings, []))[1].append(result.utility)
    return {name: max(of.values(), key=lambda choice: fmean(choice[1]))[0] for name, of in utilities.items()}
