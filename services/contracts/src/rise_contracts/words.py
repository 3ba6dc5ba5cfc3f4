"""Help for people who mistype: the nearest known name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like `name`, or None where none is near. Case is ignored in the comparison."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    found = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


_BOUNDS = {
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "string_too_short": "at least {min_length} character(s)",
    "string_too_long": "at most {max_length} characters",
}


def wanted(kind: str, message: str, facts: Mapping[str, object]) -> str:
    """What a validator wanted, to be read after "wanted": its own `message`, or plainer words for a bound."""
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**facts)
    text = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return text[:1].lower() + text[1:]


def suggestion(name: str, candidates: Sequence[str], most: int = 8) -> str:
    """A hint for an unknown name: "did you mean …?", else the known names, else that there are none."""
    near = nearest(name, candidates)
    if near is not None:
        return f"did you mean {near!r}?"
    if not candidates:
        return "none is known"
    listed = ", ".join(sorted(candidates)[:most])
    return f"known: {listed}" + (" …" if len(candidates) > most else "")
