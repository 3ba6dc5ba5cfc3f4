"""Prompts as text: a scene to a caption, and a caption back to the scene it asks for.

scene   = thing [ relation thing ] [ "on a" tone [pattern] "ground" ]
thing   = "a" [size] [fill] colour shape
"""

from __future__ import annotations

import random
import re
from functools import cache

from rise_shapes.scene import (
    COLOURS,
    FILLABLE,
    FILLS,
    PATTERNS,
    RELATIONS,
    SHAPES,
    SIZES,
    TONES,
    Ground,
    Scene,
    Thing,
)


class NotInGrammar(ValueError):
    """The prompt is not a sentence of the grammar, so a picture of it can't be judged by program.

    Attributes:
        prompt: the whole prompt.
        wanted: what the grammar allows at the place where reading stopped.
        rest: the words from that place on.
    """

    def __init__(self, prompt: str, wanted: str, rest: list[str]) -> None:
        self.prompt, self.wanted, self.rest = prompt, wanted, rest
        got = repr(" ".join(rest)) if rest else "the end of the prompt"
        super().__init__(f"wanted {wanted}, got {got}")


@cache
def vocabulary() -> frozenset[str]:
    """Every word that has a token of its own: those of the grammar and "and", which would bring a third thing."""
    groups = (COLOURS, SHAPES, SIZES, FILLS, TONES, PATTERNS, ("a", "and", "on", "ground", "of"))
    relations = {word for relation in RELATIONS for word in relation.split()}
    return frozenset(word for group in groups for word in group) | relations


def words(prompt: str) -> list[str]:
    """The prompt in lower case, split into words; punctuation and the article's n are dropped."""
    return ["a" if word == "an" else word for word in re.findall(r"[a-z]+", prompt.lower())]


def caption(scene: Scene) -> str:
    """The sentence for a scene. What the scene leaves open, the sentence leaves out."""
    parts = [_phrase(scene.things[0])]
    for relation, thing in zip(scene.relations, scene.things[1:], strict=True):
        parts.append(f"{relation} {_phrase(thing)}")
    if scene.ground is not None:
        pattern = "" if scene.ground.pattern == "plain" else f" {scene.ground.pattern}"
        parts.append(f"on a {scene.ground.tone}{pattern} ground")
    return " ".join(parts)


def _phrase(thing: Thing) -> str:
    fill = None if thing.fill == "plain" else thing.fill
    return " ".join(word for word in ("a", thing.size, fill, thing.colour, thing.shape) if word)


def loosen(scene: Scene, rng: random.Random) -> Scene:
    """Leave out at random what a user may leave out: the ground, or the size of a plain thing."""
    things = tuple(
        Thing(t.colour, t.shape, None if t.fill == "plain" and rng.random() < 0.1 else t.size, t.fill)
        for t in scene.things
    )
    return Scene(things, scene.relations, None if rng.random() < 0.25 else scene.ground)


def parse(prompt: str) -> Scene:
    """The scene that a prompt asks for.

    Raises:
        NotInGrammar: where the prompt is no sentence of the grammar.
    """
    return _Reader(prompt).scene()


class _Reader:
    def __init__(self, prompt: str) -> None:
        self.prompt, self.rest = prompt, words(prompt)

    def scene(self) -> Scene:
        things, relations = [self._thing()], list[str]()
        relation = self._relation()
        if relation is not None:
            relations.append(relation)
            things.append(self._thing())
            self._refuse_a_third()
        ground = self._ground()
        if self.rest:
            raise NotInGrammar(self.prompt, "a relation, 'on a … ground' or the end", self.rest)
        return Scene(tuple(things), tuple(relations), ground)

    def _refuse_a_third(self) -> None:
        before = list(self.rest)
        if self._take(("and",)) or self._relation() is not None:
            raise NotInGrammar(self.prompt, "at most two objects", before)

    def _thing(self) -> Thing:
        self._take(("a",))
        size, fill = self._take(SIZES), self._take(FILLS) or "plain"
        colour = self._need(COLOURS, "a colour")
        shape = self._need(SHAPES, "a shape")
        if fill != "plain" and (size == "small" or shape not in FILLABLE):
            raise NotInGrammar(self.prompt, f"a large {', '.join(sorted(FILLABLE))} for a {fill} fill", self.rest)
        return Thing(colour, shape, size, fill)

    def _relation(self) -> str | None:
        for relation in RELATIONS:
            parts = relation.split()
            if self.rest[: len(parts)] == parts:
                del self.rest[: len(parts)]
                return relation
        return None

    def _ground(self) -> Ground | None:
        if self._take(("on",)) is None:
            return None
        self._take(("a",))
        tone = self._need(TONES, "a tone (pale, dark)")
        pattern = self._take(PATTERNS) or "plain"
        self._need(("ground",), "'ground'")
        return Ground(tone, pattern)

    def _take(self, options: tuple[str, ...]) -> str | None:
        return self.rest.pop(0) if self.rest and self.rest[0] in options else None

    def _need(self, options: tuple[str, ...], wanted: str) -> str:
        word = self._take(options)
        if word is None:
            raise NotInGrammar(self.prompt, f"{wanted}: {', '.join(options)}", self.rest)
        return word
