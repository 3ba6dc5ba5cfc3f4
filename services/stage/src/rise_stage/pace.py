"""How fast each member is here: a moving average that follows a machine that gets busier or freer."""

from __future__ import annotations

SHARE = 0.2
"""Weight of a new step; one slow step moves the figure by a fifth of the way."""


class Pace:
    """Seconds per step by member, for one image: with guidance that is two rows of one forward pass. Written by one
    thread, read by any.

    Steps that several jobs shared are kept apart: what a step takes by itself is what a forecast begins with.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._shared: dict[str, float] = {}

    def note(self, member: str, seconds: float, *, shared: bool = False) -> None:
        """`seconds` of a step, or with `shared` what fell to one image of a step that had company."""
        if shared:
            self._shared = _moved(self._shared, member, seconds)
        else:
            self._seconds = _moved(self._seconds, member, seconds)

    @property
    def seconds_per_step(self) -> dict[str, float]:
        return self._seconds

    @property
    def gain(self) -> float:
        """How many times as many steps in the same time company makes, over the members that had any; 1 before."""
        both = [name for name in self._shared if name in self._seconds]
        company = sum(self._shared[name] for name in both)
        return sum(self._seconds[name] for name in both) / company if company > 0 else 1.0


def _moved(means: dict[str, float], member: str, seconds: float) -> dict[str, float]:
    before = means.get(member, seconds)
    return {**means, member: before + SHARE * (seconds - before)}
