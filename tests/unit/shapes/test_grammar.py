"""Captions and prompts: what is said can be read back, and what can't be read is refused with what is allowed."""

from __future__ import annotations

import random

import pytest

from rise_shapes.grammar import NotInGrammar, caption, loosen, parse, vocabulary, words
from rise_shapes.scene import Ground, Scene, Thing, draw_scene


@pytest.mark.parametrize("held_out", [False, True])
def test_every_drawn_scene_reads_back_from_its_caption(held_out: bool) -> None:
    rng = random.Random(3)
    for _ in range(200):
        scene = draw_scene(rng, held_out=held_out).scene
        assert parse(caption(scene)) == scene


def test_a_loosened_caption_reads_back_too() -> None:
    rng = random.Random(4)
    for _ in range(200):
        scene = loosen(draw_scene(rng).scene, rng)
        assert parse(caption(scene)) == scene


def test_captions_use_no_word_outside_the_vocabulary() -> None:
    rng = random.Random(5)
    for _ in range(200):
        assert set(words(caption(draw_scene(rng).scene))) <= vocabulary()


def test_a_plain_prompt_leaves_the_ground_open() -> None:
    scene = parse("A small red circle above a large blue square.")
    assert scene == Scene((Thing("red", "circle", "small"), Thing("blue", "square", "large")), ("above",), None)


def test_a_prompt_with_two_objects_and_a_ground() -> None:
    scene = parse("a large striped red circle left of a cyan cross on a dark checked ground")
    assert scene.relations == ("left of",)
    assert scene.things[0].fill == "striped"
    assert scene.things[1] == Thing("cyan", "cross", None)
    assert scene.ground == Ground("dark", "checked")


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        pytest.param("a red zebra", "a shape: circle", id="unknown shape"),
        pytest.param("a fluffy circle", "a colour: red", id="unknown colour"),
        pytest.param("a red circle near a blue square", "a relation", id="unknown relation"),
        pytest.param("a small striped red circle", "a large circle", id="a fill too fine for its size"),
        pytest.param("a large dotted red ring", "a large circle", id="a fill on a shape without room"),
        pytest.param("a red circle on a pink ground", "a tone", id="unknown tone"),
        pytest.param("a red circle above", "a colour", id="nothing after the relation"),
        pytest.param("a red circle above a blue ring and left of a green ring", "at most two", id="three objects"),
        pytest.param("a red circle above a blue ring left of a green ring", "at most two", id="three in a row"),
        pytest.param("a red circle and a blue ring", "a relation", id="no relation"),
    ],
)
def test_a_prompt_outside_the_grammar_says_what_is_allowed(prompt: str, wanted: str) -> None:
    with pytest.raises(NotInGrammar, match=wanted) as caught:
        parse(prompt)
    assert caught.value.prompt == prompt
