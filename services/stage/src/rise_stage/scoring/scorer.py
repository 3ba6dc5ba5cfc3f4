"""What a scorer is, and the scale its label is on.

Raw scores have no common scale, and a label has to be from 0 to 1. It is a straight line between two fixed marks, cut
off at both ends, and not the score's rank among the family's last ones. A rank would need a memory that two scorers, or
one before and after a restart, do not share; it would grade on a curve, so that a scheduler which takes better arms
sees its labels fall back to the middle; and it would hide just the silent loss of quality that the scheduler watches
for. With fixed marks one picture has one label, whenever it is scored and by whom.

The marks are round numbers around what is published of each score (docs/reference/scorers.md); who knows their own
family better sets them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Protocol

from PIL.Image import Image

from rise_contracts.errors import InvalidInput


class Scorer(Protocol):
    """Rates pictures. Called from one thread at a time."""

    @property
    def name(self) -> str:
        """As labels name their source."""

    def score(self, prompt: str, picture: Image) -> float:
        """How good an RGB picture of the prompt is, 0 to 1. Raises InvalidInput where it is worth no number."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The raw scores that are worth 0 and 1. Raises InvalidInput unless the first is the lower one."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InvalidInput("range", "two numbers, the lower one first", f"{self.low:g} {self.high:g}")

    def label(self, raw: float) -> float:
        """Raises InvalidInput for what is no number."""
        if not math.isfinite(raw):
            raise InvalidInput("score", "a finite number", raw, "are these the scorer's weights?")
        return min(max((raw - self.low) / (self.high - self.low), 0.0), 1.0)


SCALES: Final = {
    "clipscore": Scale(15.0, 35.0),
    "hpsv2": Scale(0.20, 0.32),
    "pickscore": Scale(17.0, 24.0),
}
