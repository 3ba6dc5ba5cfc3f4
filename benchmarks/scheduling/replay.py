"""The replay: every player is put the same jobs, learns of its own choices only, and is held against the best it could
have done. Outcomes come when jobs end, judgements later, for some of the jobs, as in production.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from benchmarks.scheduling.seam import News, Player
from benchmarks.scheduling.world import World


@dataclass(frozen=True, eq=False)
class Played:
    """What a player did in a world, arrays (jobs,): the arm, its propensity, the regret (utility short of the best
    available arm's, in expectation of the scorer's noise) and the latency in seconds."""

    arm: np.ndarray
    propensity: np.ndarray
    regret: np.ndarray
    latency: np.ndarray

    @property
    def total(self) -> float:
        return float(self.regret.sum())


def play(player: Player, world: World) -> Played:
    """Put all jobs of ``world`` to ``player``."""
    count = len(world.asked)
    arms, propensity = np.zeros(count, dtype=int), np.ones(count)
    due: list[tuple[float, int, News]] = []
    for index, asked in enumerate(world.asked):
        while due and due[0][0] <= asked.at:
            player.learn(heapq.heappop(due)[2])
        chosen = player.choose(asked)
        arms[index], propensity[index] = asked.arms[chosen.place], chosen.propensity
        for number, (when, news) in enumerate(_news(world, index, chosen.place)):
            heapq.heappush(due, (when, 2 * index + number, news))
    rows = np.arange(count)
    return Played(arms, propensity, world.best - world.utility[rows, arms], world.latency[rows, arms])


def _news(world: World, index: int, place: int) -> list[tuple[float, News]]:
    """When a player hears what of the job: its end at once, its quality so many jobs later."""
    asked = world.asked[index]
    arm = int(asked.arms[place])
    latency = float(world.latency[index, arm])
    stages = tuple(float(seconds) for seconds in world.stages[index, arm] if seconds > 0)
    ends = asked.at + latency

    def heard(quality: float | None) -> News:
        return News(asked, place, latency, float(world.waits[index, arm]), stages, quality, first=quality is None)

    found = [(ends, heard(None))]
    if world.judged[index]:
        later = min(index + int(world.late[index]), len(world.asked) - 1)
        found.append((max(ends, world.asked[later].at), heard(float(world.scored[index, arm]))))
    return found
