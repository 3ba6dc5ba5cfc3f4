"""Help for people who mistype: the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, or None where none is near. Case is ignored in the comparison."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def suggestion(name: str, candidates: Sequence[str], most: int = 8) -> str:
    """A hint for an unknown name: "did you mean …?", else the known names, else that there are none."""
    near = nearest(name, candidates)
    if near is not None:
        return f"did you mean {near!r}?"
    if not candidates:
        return "none is known"
    listed = ", ".join(sorted(candidates)[:most])
    return f"known: {listed}" + (" …" if len(candidates) > most else "")
