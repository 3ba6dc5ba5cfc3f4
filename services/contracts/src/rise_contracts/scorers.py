"""Scorers by name, and what a command line says of one: `clipscore:/models/clip`, `pickscore:owner/name`.

A scorer rates a picture by its prompt alone, with weights that its user brings. The process that does it is
`rise_stage.scoring`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from rise_contracts.errors import InvalidInput, UnknownName
from rise_contracts.resources import Source

SCORERS: Final = ("clipscore", "hpsv2", "pickscore")
FIELD: Final = "judge"
SHARE: Final = 0.2
"""Of the jobs, where nobody says how many are scored."""
_WANTED: Final = "NAME:FOLDER, or NAME:OWNER/REPOSITORY of the hub"
_PATH: Final = re.compile(r"[/.~]")


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
