"""Both kinds of worlds by name; a process keeps the last ones it made."""

from __future__ import annotations

from functools import lru_cache

from benchmarks.scheduling import measured, synthetic
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.world import World

KINDS = ("synthetic", "measured")


@lru_cache(maxsize=2)
def world_of(kind: str, seed: int, options: Options) -> World:
    """The world of a seed. Raises KeyError for another kind."""
    return {"synthetic": synthetic.make, "measured": measured.make}[kind](seed, options)
