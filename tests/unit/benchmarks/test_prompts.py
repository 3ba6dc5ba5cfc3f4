"""The measured prompts: as many of each level of detail, each once, and each one that the judge can read."""

from __future__ import annotations

from collections import Counter, defaultdict
from statistics import fmean

import pytest

from benchmarks._prompts import LEVELS, MOST, prompts
from rise_scheduler.prompt import prompt_features
from rise_shapes.grammar import caption, parse
from rise_shapes.scene import is_held_out


def test_the_same_count_gives_the_same_prompts_and_a_smaller_one_their_beginning() -> None:
    assert prompts(40) == prompts(80)[:40]


def test_there_are_as_many_of_each_level_and_none_twice() -> None:
    asked = prompts(10 * len(LEVELS))
    assert set(Counter(item.level for item in asked).values()) == {10}
    assert len({item.text for item in asked}) == len(asked)


def test_a_prompt_is_a_sentence_that_asks_for_its_own_scene() -> None:
    assert all(caption(parse(item.text)) == item.text == caption(item.scene) for item in prompts(160))


def test_two_things_are_a_combination_that_training_never_showed() -> None:
    pairs = [item for item in prompts(160) if len(item.scene.things) == 2]
    assert len(pairs) == 100
    assert all(is_held_out(item.scene) for item in pairs)


def test_the_scheduler_sees_more_complexity_where_more_is_said() -> None:
    seen: dict[int, list[float]] = defaultdict(list)
    for item in prompts(160):
        seen[item.level].append(prompt_features(item.text).complexity)
    means = [fmean(seen[level]) for level in range(len(LEVELS))]
    assert means == sorted(means)
    assert means[-1] > 4 * means[0]


def test_more_prompts_than_there_are_bare_things_for_are_refused() -> None:
    with pytest.raises(ValueError, match=f"at most {MOST}"):
        prompts(MOST + 1)
