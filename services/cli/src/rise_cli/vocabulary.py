"""What the embedded family makes of a prompt's words. Other families read any text, so nothing is said of those."""

from __future__ import annotations

import difflib

EMBEDDED = "rise-shapes"


def warnings(prompt: str, family: str) -> list[str]:
    """One line for each thing a person should know before the picture is made; the job runs all the same."""
    if family != EMBEDDED:
        return []
    from rise_shapes import grammar

    said = [_unknown(word, grammar.vocabulary()) for word in dict.fromkeys(grammar.words(prompt))]
    found = [line for line in said if line]
    if found:
        return found
    try:
        grammar.parse(prompt)
    except grammar.NotInGrammar as error:
        return [f"the picture can't be judged: {error}"]
    return []


def _unknown(word: str, known: frozenset[str]) -> str:
    if word in known:
        return ""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{word!r} is not a word that {EMBEDDED} knows, and is ignored{hint}"
