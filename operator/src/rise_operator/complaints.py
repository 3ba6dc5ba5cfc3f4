"""Log lines of which an API server that is away would make hundreds, all of them the same but for the object's name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

EVERY_S = 10.0


@dataclass(slots=True)
class _Said:
    at: float
    left_out: int = 0


class Complaints:
    """Says the first complaint of a kind, and then one every `every_s`, with how many were left out in between."""

    def __init__(
        self,
        say: Callable[[str], object],
        *,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say, self._every_s, self._clock = say, every_s, clock
        self._said: dict[str, _Said] = {}

    def about(self, kind: str, text: str) -> None:
        now, before = self._clock(), self._said.get(kind)
        if before is not None and now - before.at < self._every_s:
            before.left_out += 1
            return
        self._said[kind] = _Said(now)
        more = before.left_out if before is not None else 0
        self._say(f"{text} (and {more} more like it before)" if more else text)
