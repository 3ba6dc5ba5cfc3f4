"""How fast each member is here: moving averages that follow a machine that gets busier or freer."""

from __future__ import annotations

import time
from collections.abc import Callable

SHARE = 0.2
"""Weight of a new step; one slow step moves the figure by a fifth of the way."""
USUAL_SHARE = 0.002
"""The same of what is usual, once it is the mean of so many (500) steps: a hot hour does not make it another."""


class Pace:
    """Seconds per step by member, for one image: with guidance that is two rows of one forward pass; and seconds to
    load one. Written by one thread, read by any.

    Steps that several jobs shared are kept apart: what a step takes by itself is what a forecast begins with.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: dict[str, float] = {}
        self._usual: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._at: dict[str, float] = {}
        self._shared: dict[str, float] = {}
        self._loads: dict[str, float] = {}

    def note(self, member: str, seconds: float, *, shared: bool = False) -> None:
        """`seconds` of a step, or with `shared` what fell to one image of a step that had company."""
        if shared:
            self._shared = _moved(self._shared, member, seconds)
            return
        count = self._counts[member] = self._counts.get(member, 0) + 1
        self._usual = _moved(self._usual, member, seconds, max(1.0 / count, USUAL_SHARE))
        self._seconds = _moved(self._seconds, member, seconds)
        self._at = {**self._at, member: self._clock()}

    def note_load(self, member: str, seconds: float) -> None:
        """What loading a member took: less when the system still has its file in memory, so the last ones count."""
        self._loads = _moved(self._loads, member, seconds)

    @property
    def seconds_per_step(self) -> dict[str, float]:
        return self._seconds

    @property
    def usual_seconds_per_step(self) -> dict[str, float]:
        """The mean over all steps, of late ones over some 500."""
        return self._usual

    @property
    def age_s(self) -> dict[str, float]:
        """Seconds since a step of each member was measured."""
        now = self._clock()
        return {member: max(now - at, 0.0) for member, at in self._at.items()}

    @property
    def load_seconds(self) -> dict[str, float]:
        return self._loads

    @property
    def gain(self) -> float:
        """How many times as many steps in the same time company makes, over the members that had any; 1 before."""
        both = [name for name in self._shared if name in self._seconds]
        company = sum(self._shared[name] for name in both)
        return sum(self._seconds[name] for name in both) / company if company > 0 else 1.0


def _moved(means: dict[str, float], member: str, seconds: float, share: float = SHARE) -> dict[str, float]:
    before = means.get(member, seconds)
    return {**means, member: before + share * (seconds - before)}
