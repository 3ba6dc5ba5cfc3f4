"""Small worlds for the tests of what is played in them."""

from __future__ import annotations

from functools import cache

import numpy as np

from benchmarks.scheduling import synthetic
from benchmarks.scheduling.seam import Asked, Chosen, News
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.world import World


@cache
def small(seed: int = 1, jobs: int = 320) -> World:
    """A synthetic world of few jobs."""
    return synthetic.make(seed, Options(jobs=jobs))


class Knowing:
    """Chooses by a table of the world (jobs, arms) that no player sees."""

    def __init__(self, table: np.ndarray) -> None:
        self._table = table
        self.heard: list[tuple[int, News]] = []
        self.asked: list[Asked] = []

    def choose(self, asked: Asked) -> Chosen:
        self.asked.append(asked)
        return Chosen(int(self._table[asked.job, asked.arms].argmax()))

    def learn(self, news: News) -> None:
        self.heard.append((len(self.asked), news))
