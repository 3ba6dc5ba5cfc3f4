"""Prompt features without a model: counts of what makes a picture hard to draw, each scaled to about 0..1.

They cost tens of microseconds and no network. ``complexity`` is their plain mean: the paper's context has one number
for the prompt, and hand-made weights would be a guess (a learner that wants more takes the features apart).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from operator import attrgetter

_WORD = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
_QUOTED = re.compile(r"\"[^\"]+\"|\u201c[^\u201d]+\u201d")
_PHRASE = re.compile(r"[,;]")

_NUMBERS = frozenset("two three four five six seven eight nine ten eleven twelve dozen several many".split())
_NEGATIONS = frozenset("no not without never none nothing neither nor except".split())
_SPATIAL = frozenset(
    "left right above below behind front beside between under over inside outside near next top bottom beneath "
    "atop around against across corner centre center middle upper lower underneath adjacent foreground "
    "background".split()
)
_ATTRIBUTES = frozenset(
    "red orange yellow green blue purple pink brown black white grey gray cyan magenta teal gold golden silver "
    "dark bright pale small large big tiny huge little tall short long wide narrow thin thick round square "
    "striped dotted checkered plain shiny matte wooden metal glass old new young wet dry hot cold soft hard rough "
    "smooth colourful colorful detailed ornate".split()
)
_STYLES = frozenset(
    "photo photograph painting drawing sketch illustration render portrait watercolor watercolour oil anime "
    "cartoon cinematic realistic photorealistic hyperrealistic surreal baroque impressionist cubist pixel style "
    "4k 8k hd hdr unreal octane artstation masterpiece trending bokeh macro studio".split()
)
_FUNCTION_WORDS = frozenset(
    "a an the of in on at to and or with is are was were be by for from as it its this that these those his her "
    "their into onto up down out off very some there which who".split()
)


@dataclass(frozen=True, slots=True)
class PromptFeatures:
    """Features of one prompt; each is 0 for "nothing of it", about 1 for "much of it" and never above 1."""

    tokens: float
    phrases: float
    things: float
    attributes: float
    numbers: float
    spatial: float
    quoted_text: float
    style: float
    negations: float

    @property
    def complexity(self) -> float:
        """The mean of the features, 0..1."""
        values = self.values()
        return sum(values) / len(values)

    def values(self) -> tuple[float, ...]:
        """The features in the order of the fields."""
        values: tuple[float, ...] = _VALUES(self)
        return values


_VALUES = attrgetter(*(field.name for field in fields(PromptFeatures)))


def _share(count: int, full: int) -> float:
    return min(count / full, 1.0)


def prompt_features(prompt: str) -> PromptFeatures:
    """Count the features of ``prompt``. Any text is valid; an empty one has every feature 0.

    The scales: 77 tokens is CLIP's window; ten comma phrases is about the 80th percentile of DiffusionDB prompts; the
    rest are set so that a long everyday prompt reaches 1.
    """
    text = prompt.lower()
    words = _WORD.findall(text)
    numbers = sum(1 for word in words if word in _NUMBERS or word.isdigit())
    attributes = sum(1 for word in words if word in _ATTRIBUTES)
    spatial = sum(1 for word in words if word in _SPATIAL)
    negations = sum(1 for word in words if word in _NEGATIONS)
    style = sum(1 for word in words if word in _STYLES)
    function_words = sum(1 for word in words if word in _FUNCTION_WORDS)
    things = max(len(words) - numbers - attributes - spatial - negations - style - function_words, 0)
    phrases = sum(1 for part in _PHRASE.split(text) if part.strip())
    return PromptFeatures(
        tokens=_share(len(words), 77),
        phrases=_share(phrases, 10),
        things=_share(things, 20),
        attributes=_share(attributes, 10),
        numbers=_share(numbers, 4),
        spatial=_share(spatial, 4),
        quoted_text=1.0 if _QUOTED.search(text) else 0.0,
        style=_share(style, 8),
        negations=_share(negations, 2),
    )
