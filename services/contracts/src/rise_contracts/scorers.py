"""Scorers by name, and what a command line says of one: `clipscore:/models/clip`, `pickscore:owner/name`.

A scorer rates a picture by its prompt alone, with weights that its user brings. The process that does it is
`rise_stage.scoring`.

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
import re
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from rise_contracts.errors import InvalidInput, UnknownName
from rise_contracts.resources import Source

FIELD: Final = "judge"
SHARE: Final = 0.2
"""Of the jobs, where nobody says how many are scored."""
_WANTED: Final = "NAME:FOLDER, or NAME:OWNER/REPOSITORY of the hub"
_PATH: Final = re.compile(r"[/.~]")


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
SCORERS: Final = tuple(SCALES)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A scorer and where its weights lie."""

    name: str
    source: Source

    def __str__(self) -> str:
        return f"{self.name}:{self.source.path or self.source.hub}"


def parse(text: str) -> Chosen:
    """Read `NAME:WHERE`. Raises InvalidInput, and UnknownName for a scorer that is not there."""
    name, colon, where = text.partition(":")
    if not colon or not where:
        raise InvalidInput(FIELD, _WANTED, text, "such as clipscore:./clip-vit-large-patch14")
    if name not in SCORERS:
        raise UnknownName("scorer", name, SCORERS, FIELD)
    return Chosen(name, source_of(where))


def source_of(where: str) -> Source:
    """What begins with `/`, `.` or `~` is a folder, everything else a repository of the hub. Raises InvalidInput."""
    try:
        return Source(path=where) if _PATH.match(where) else Source(hub=where)
    except ValidationError:
        hint = "a folder begins with '/', '.' or '~'"
        raise InvalidInput(FIELD, "a folder, or OWNER/REPOSITORY of the hub", where, hint) from None
