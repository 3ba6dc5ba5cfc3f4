"""The judge is right on true pictures, and refuses every kind of wrong one."""

from __future__ import annotations

import io
import itertools
import random
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rise_shapes.grammar import parse
from rise_shapes.judge import judge, verdict
from rise_shapes.render import render
from rise_shapes.scene import COLOURS, SHAPES, Ground, Placed, Scene, Thing, draw_scene

Picture = NDArray[np.uint8]

PROMPT = "a small red circle above a large striped blue square on a dark checked ground"
CENTRES = ((30.0, 12.0), (34.0, 42.0))


def picture(prompt: str, centres: tuple[tuple[float, float], ...] = CENTRES) -> Picture:
    """A render of the prompt with objects at the given places."""
    return render(Placed(parse(prompt), centres))


def test_true_renders_are_accepted_995_times_in_1000() -> None:
    rng = random.Random(12)
    placed = [draw_scene(rng, held_out=index % 2 == 0) for index in range(400)]
    right = sum(judge(render(item), item.scene).ok for item in placed)
    assert right / len(placed) >= 0.995


def test_pictures_of_other_scenes_are_refused() -> None:
    rng = random.Random(13)
    placed = [draw_scene(rng) for _ in range(200)]
    pairs = [(a, b) for a, b in itertools.pairwise(placed) if a.scene != b.scene]
    accepted = [(a, b) for a, b in pairs if judge(render(a), b.scene).ok]
    assert not accepted


def test_the_asked_for_picture_is_right_in_every_part() -> None:
    verdict = judge(picture(PROMPT), parse(PROMPT))
    assert verdict.ok
    assert verdict.reasons == []
    assert all(verdict.parts.values())
    assert verdict.cleanness > 0.85


def test_of_a_file_it_says_nothing_where_no_program_can_tell() -> None:
    def file(side: int) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(picture(PROMPT)).resize((side, side)).save(stream, "PNG")
        return stream.getvalue()

    assert verdict(file(64), PROMPT) == judge(picture(PROMPT), parse(PROMPT))
    assert verdict(file(128), PROMPT) is None
    assert verdict(file(64), "an astronaut on a horse") is None


@pytest.mark.parametrize(
    ("shown", "part", "reason"),
    [
        pytest.param(
            "a small green circle above a large striped blue square", "colours", "nothing is red", id="colour"
        ),
        pytest.param("a small red ring above a large striped blue square", "shapes", "is a ring", id="shape"),
        pytest.param("a large red circle above a large striped blue square", "sizes", "is large, not small", id="size"),
        pytest.param(
            "a small red circle above a large dotted blue square", "fills", "is dotted, not striped", id="fill"
        ),
        pytest.param("a small red circle above a large blue square", "fills", "is plain, not striped", id="no fill"),
        pytest.param(
            "a small red square above a large striped blue circle", "shapes", "is a square", id="swapped binding"
        ),
    ],
)
def test_one_wrong_attribute_is_found_and_named(shown: str, part: str, reason: str) -> None:
    verdict = judge(picture(f"{shown} on a dark checked ground"), parse(PROMPT))
    assert not verdict.ok
    assert not verdict.parts[part]
    assert any(reason in sentence for sentence in verdict.reasons)


def test_a_wrong_relation_is_found() -> None:
    verdict = judge(picture(PROMPT, (CENTRES[1], CENTRES[0])), parse(PROMPT))
    assert [part for part, right in verdict.parts.items() if not right] == ["relations"]


@pytest.mark.parametrize("ground", ["dark", "pale checked", "dark striped", "pale"])
def test_a_wrong_ground_is_found_and_an_open_one_is_free(ground: str) -> None:
    shown = picture(f"a small red circle above a large striped blue square on a {ground} ground")
    assert [part for part, right in judge(shown, parse(PROMPT)).parts.items() if not right] == ["ground"]
    assert judge(shown, parse("a small red circle above a large striped blue square")).ok


def test_an_object_too_many_or_too_few_is_found() -> None:
    ring = Thing("green", "ring", "small")
    two = parse("a small red circle above a large blue square")
    three = Scene((*two.things, ring), (*two.relations, "left of"))
    shown = render(Placed(three, ((20.0, 12.0), (22.0, 42.0), (50.0, 14.0))))
    assert judge(shown, three).ok
    assert judge(shown, parse("a small red circle above a large blue square")).reasons == ["wanted 2 objects, got 3"]
    assert not judge(picture("a small red circle above a large blue square"), three).parts["objects"]


def test_noise_specks_and_blur_are_not_clean() -> None:
    rng = np.random.default_rng(1)
    scene = parse(PROMPT)
    true = picture(PROMPT)
    assert not judge(rng.integers(0, 256, true.shape, dtype=np.uint8), scene).ok
    specked = true.copy()
    specked[2:6, 2:6], specked[58:62, 2:6], specked[58:62, 58:62] = (0, 200, 0), (0, 200, 0), (0, 200, 0)
    assert not judge(specked, scene).parts["clean"]
    assert not judge(np.full_like(true, 128), scene).ok


def test_a_little_noise_does_not_matter() -> None:
    rng = np.random.default_rng(2)
    noisy = np.clip(picture(PROMPT) + rng.normal(0, 4, (64, 64, 3)), 0, 255).astype(np.uint8)
    assert judge(noisy, parse(PROMPT)).ok


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", ["small", "large"])
def test_each_shape_of_each_colour_and_size_is_known_and_no_other(shape: str, size: str) -> None:
    for colour in COLOURS:
        thing = Thing(colour, shape, size)
        shown = render(Placed(Scene((thing,), (), Ground("pale")), ((31.0, 33.0),)))
        assert judge(shown, Scene((thing,))).ok
        for other in set(SHAPES) - {shape}:
            assert not judge(shown, Scene((replace(thing, shape=other),))).ok


def test_a_picture_of_another_size_is_refused_with_what_was_got() -> None:
    with pytest.raises(ValueError, match="64x64x3 uint8, got 32x32x3 uint8"):
        judge(np.zeros((32, 32, 3), np.uint8), parse(PROMPT))
