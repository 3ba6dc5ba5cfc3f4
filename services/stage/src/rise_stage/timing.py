"""Where a stage's seconds went."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter


class Timings:
    """Seconds by part; a part that is entered twice adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began = perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - began

    def move(self, part: str, to: str, seconds: float) -> None:
        """Say that `seconds` of one part were really another's."""
        self.seconds[part] = self.seconds.get(part, 0.0) - seconds
        self.seconds[to] = self.seconds.get(to, 0.0) + seconds
