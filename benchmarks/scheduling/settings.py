"""The tuned settings as a file: a quick run takes those of the last full one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.scheduling.entrants import EVERYONE, Settings

FILE: Final = Path(__file__).parent.parent / "results" / "scheduler-settings.json"


def save(tuned: Mapping[str, Mapping[str, Settings]], file: Path) -> None:
    """By world, then by entrant."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(tuned, indent=1) + "\n")


def load(file: Path = FILE) -> dict[str, dict[str, Settings]]:
    """Raises FileNotFoundError; ValueError for an entrant or a setting that is no more, for then it has to be tuned
    anew."""
    tuned: dict[str, dict[str, Settings]] = json.loads(file.read_text())
    for kind, found in tuned.items():
        for name, settings in found.items():
            grid = EVERYONE[name].grid if name in EVERYONE else None
            if name not in EVERYONE or set(settings) != set(grid or {}):
                raise ValueError(f"{file.name}: wanted settings of today's policies, got {kind}/{name}; run it in full")
    return tuned
