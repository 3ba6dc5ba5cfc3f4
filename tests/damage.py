"""What happens to bytes and to JSON under way, for property tests."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**63, 2**64, 10**40, 10**4200]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=20),
    st.sampled_from(["", "\x1b[31m", "a\nb", "x" * 5000, "../..", "*", ">", "rise.work", "0" * 64]),
    st.lists(st.integers(-2, 2**64), max_size=4),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
)
"""Values that no field, or some other field, would have. As JSON text NaN and Infinity are written as such."""


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` cut short, with bits flipped, with bytes put in or taken out, or with a part of it twice."""
    start, end = sorted(draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    match draw(st.sampled_from(("cut", "flip", "insert", "drop", "twice"))):
        case "cut":
            return whole[:start]
        case "flip":
            changed = bytearray(whole)
            for place in draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
                changed[place] ^= 1 << draw(st.integers(0, 7))
            return bytes(changed)
        case "insert":
            return whole[:start] + draw(st.binary(min_size=1, max_size=20)) + whole[start:]
        case "drop":
            return whole[:start] + whole[end:]
    return whole[:end] + whole[start:]


@st.composite
def edited(draw: st.DrawFn, text: bytes) -> bytes:
    """The JSON object `text` with one value changed, left out, or put in under another name."""
    document = json.loads(text)
    where = draw(st.sampled_from(list(_places(document))))
    holder, key = where
    match draw(st.sampled_from(("change", "leave out", "add"))):
        case "change":
            holder[key] = draw(ODD)
        case "leave out":
            del holder[key]
        case _:
            document[draw(st.text(max_size=8) | st.just("k" * 3000) | st.just("\x1b\n"))] = draw(ODD)
    return json.dumps(document, separators=(",", ":")).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a JSON document."""
    if isinstance(value, dict):
        found: list[tuple[Any, Any]] = [(value, key) for key in value]
    elif isinstance(value, list):
        found = [(value, index) for index in range(len(value))]
    else:
        return []
    return found + [place for holder, key in found for place in _places(holder[key])]
