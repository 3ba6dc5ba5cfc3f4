"""Prompts in the proportions of DiffusionDB, as real text: the product's own counting of features has to read them.

The numbers are of the first 4 999 prompts of DiffusionDB 2M: words 25.8 +- 13.6 (5, 14, 26, 36, 44, 47, 53 at the
percentiles below), comma phrases 6.5 +- 5.0 (median 6, 95th percentile 16), 13 % exact repeats.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.special import ndtr

WORDS_AT = ((0.0, 3), (0.05, 5), (0.25, 14), (0.5, 26), (0.75, 36), (0.9, 44), (0.95, 47), (0.99, 53), (1.0, 60))
PHRASES_AT = ((0.0, 1), (0.25, 2.4), (0.5, 6), (0.75, 9), (0.95, 16), (1.0, 22))
REPEATS = 0.13
LONGER_HAS_MORE = 0.7
"""The correlation of words and phrases, before either is brought to its quantiles."""

_THINGS = (
    "fox harbour castle robot forest lantern market bridge mountain violin teapot astronaut garden river lighthouse "
    "dragon bicycle library window kitchen desert owl temple waterfall orchid train ship clock statue horse village "
    "cathedral cloud armour mask crown sword mirror candle feather canyon island wolf whale butterfly portrait face "
    "woman man child knight wizard princess soldier dancer baker pilot city street tower room table chair"
).split()
_ATTRIBUTES = (
    "red blue green golden silver dark bright pale large tiny huge old new wooden glass shiny ornate detailed soft "
    "rough smooth round tall narrow striped wet"
).split()
_PLAIN = (
    "quiet ancient lonely glowing floating broken hidden distant gentle strange elegant dreamy epic mystical vast "
    "intricate ethereal dramatic volumetric sharp delicate brooding"
).split()
_RELATIONS = ("left of", "right of", "above", "below", "behind", "in front of", "beside", "between", "under", "near")
_STYLES = (
    "cinematic",
    "oil painting",
    "watercolor",
    "digital painting",
    "concept art",
    "trending on artstation",
    "octane render",
    "unreal engine",
    "photorealistic",
    "studio lighting",
    "8k",
    "hdr",
    "bokeh",
    "sharp focus",
    "matte painting",
    "art by a famous illustrator",
    "anime style",
    "highly detailed",
    "hyperrealistic",
    "smooth",
    "film grain",
    "soft light",
    "wide angle",
    "dramatic lighting",
)
_NUMBERS = ("two", "three", "four", "five", "several", "many")
_SIGNS = ('a sign that says "open"', 'the words "good morning"', 'a label "no 7"')
_WITHOUT = ("without people", "no text", "not blurry")


def draw(rng: Generator, count: int) -> list[str]:
    """``count`` prompts, of which about 13 % repeat an earlier one."""
    words, phrases = lengths(rng, count)
    texts: list[str] = []
    for index in range(count):
        if index and rng.random() < REPEATS:
            texts.append(texts[int(rng.integers(index))])
        else:
            texts.append(_text(rng, int(words[index]), int(phrases[index])))
    return texts


def lengths(rng: Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Words and comma phrases of ``count`` prompts, whole numbers; no phrase is empty."""
    first, second = rng.normal(size=(2, count))
    ranks = ndtr(first), ndtr(LONGER_HAS_MORE * first + np.sqrt(1 - LONGER_HAS_MORE**2) * second)
    words = np.rint(_at(WORDS_AT, ranks[0]))
    phrases = np.minimum(np.rint(_at(PHRASES_AT, ranks[1])), words)
    return words, np.maximum(phrases, 1)


def _at(table: tuple[tuple[float, float], ...], ranks: np.ndarray) -> np.ndarray:
    shares, values = zip(*table, strict=True)
    found: np.ndarray = np.interp(ranks, shares, values)
    return found


def _text(rng: Generator, words: int, phrases: int) -> str:
    """A first phrase that says what is seen, then styles and further things, to so many words in so many phrases."""
    ends = sorted(rng.choice(np.arange(1, words), size=phrases - 1, replace=False).tolist()) if phrases > 1 else []
    sizes = np.diff([0, *ends, words])
    parts = [_phrase(rng, int(size), first=index == 0) for index, size in enumerate(sizes)]
    return ", ".join(parts)


def _phrase(rng: Generator, size: int, *, first: bool) -> str:
    """Exactly ``size`` words."""
    found: list[str] = []
    while len(found) < size:
        piece = _scene(rng) if first or rng.random() < 0.35 else _pick(rng, _STYLES)
        found += piece.split()
    return " ".join(found[:size])


def _scene(rng: Generator) -> str:
    draw = rng.random()
    if draw < 0.04:
        return _pick(rng, _SIGNS)
    if draw < 0.08:
        return _pick(rng, _WITHOUT)
    number = _pick(rng, _NUMBERS) if rng.random() < 0.2 else "a"
    look = _pick(rng, _ATTRIBUTES) if rng.random() < 0.5 else _pick(rng, _PLAIN)
    joined = _pick(rng, _RELATIONS) if rng.random() < 0.35 else "with"
    return f"{number} {look} {_pick(rng, _THINGS)} {joined} a {_pick(rng, _THINGS)}"


def _pick(rng: Generator, choices: tuple[str, ...] | list[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
