"""How fast each member is here: a moving average that follows a machine that gets busier or freer."""

from __future__ import annotations

SHARE = 0.2
"""Weight of a new step; one slow step moves the figure by a fifth of the way."""


class Pace:
    """Seconds per step by member, for one image and one forward pass. Written by one thread, read by any."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def note(self, member: str, seconds: float) -> None:
        before = self._seconds.get(member, seconds)
        self._seconds = {**self._seconds, member: before + SHARE * (seconds - before)}

    @property
    def seconds_per_step(self) -> dict[str, float]:
        return self._seconds
