"""What users write is theirs: how an error speaks of it without saying it.

Errors end in logs, in conditions and events, and in the records of jobs. Wherever one is made from a value, or from the
words of a library that was given a prompt, the prompt is taken out here.
"""

from __future__ import annotations

import difflib
from collections.abc import Sized
from dataclasses import dataclass
from typing import Final

PRIVATE: Final = frozenset({"prompt", "negativePrompt", "negative_prompt"})
"""Fields whose values are nobody's business."""
HIDDEN: Final = "[hidden]"
SHORTEST: Final = 12
"""Characters that a text has to share with a prompt in one piece to be taken for a part of it."""
_TELLING: Final = 4
"""Characters of a private text; a shorter one says nothing of anybody."""
_LONGEST: Final = 1000
"""Characters of a text; more is cut off, unread."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """Stands for a value: what it is and how long, for whoever shows it."""

    kind: str
    length: int | None

    def __repr__(self) -> str:
        return f"a {self.kind}" if self.length is None else f"a {self.kind} of length {self.length}"


def told(field: str, value: object) -> object:
    """What an error may show of a value that could not be accepted: it, if it is a number, a yes or no, or a short word
    in a field that is not private; else `Hidden`."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and field not in PRIVATE and len(value) <= 80:
        return value
    return Hidden(type(value).__name__, len(value) if isinstance(value, Sized) else None)


def without(text: str, *private: str) -> str:
    """`text` in which `HIDDEN` stands for every piece of a private text. Case, quotes and escapes do not save one; a
    piece shorter than `SHORTEST` is hidden where it is the whole of the private text."""
    text = text[:_LONGEST]
    for written in private:
        # As it is, as it would stand in one line, and as repr and ascii write it.
        for form in dict.fromkeys((written, " ".join(written.split()), repr(written)[1:-1], ascii(written)[1:-1])):
            if len(form.strip()) >= _TELLING:
                text = _without(text, _folded(form))
    return text


def _without(text: str, private: str) -> str:
    found = difflib.SequenceMatcher(None, _folded(text), private, autojunk=False).find_longest_match()
    shared = private[found.b : found.b + found.size].strip()
    if len(shared) < min(SHORTEST, len(private.strip())):
        return text
    before, after = text[: found.a], text[found.a + found.size :]
    return f"{_without(before, private)}{HIDDEN}{_without(after, private)}"


def _folded(text: str) -> str:
    """In lower case, each character in its place."""
    return "".join(low if len(low := char.lower()) == 1 else char for char in text)
