from __future__ import annotations

from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.prompt import prompt_features


def test_counts_what_a_prompt_holds() -> None:
    found = prompt_features('two small red circles left of a sign saying "OPEN", without shadows, oil painting')
    assert found.numbers == 1 / 4
    assert found.attributes == 2 / 10
    assert found.spatial == 1 / 4
    assert found.negations == 1 / 2
    assert found.quoted_text == 1.0
    assert found.style == 2 / 8
    assert found.phrases == 3 / 10


def test_digits_are_numbers_and_function_words_are_no_things() -> None:
    assert prompt_features("3 cats").numbers == 1 / 4
    assert prompt_features("a of the in on").things == 0.0
    assert prompt_features("a cat and a dog").things == 2 / 20


def test_typographic_quotes_count_and_a_lone_one_does_not() -> None:
    assert prompt_features("a sign \u201chello\u201d").quoted_text == 1.0
    assert prompt_features('a 12" record').quoted_text == 0.0


def test_a_richer_prompt_is_more_complex() -> None:
    plain = prompt_features("a cat")
    richer = prompt_features("a small black cat left of two large dogs, behind a red fence, no people, oil painting")
    assert richer.complexity > plain.complexity


def test_nothing_is_zero() -> None:
    assert prompt_features("").complexity == 0.0
    assert prompt_features(" ,;, ").phrases == 0.0


@given(st.text(max_size=1000))
def test_every_feature_of_any_text_is_within_0_and_1(text: str) -> None:
    found = prompt_features(text)
    assert all(0.0 <= value <= 1.0 for value in asdict(found).values())
    assert 0.0 <= found.complexity <= 1.0


@given(st.lists(st.sampled_from(["cat", "red", "two", "left", "not", "photo"]), max_size=40))
def test_the_order_of_words_does_not_matter(words: list[str]) -> None:
    assert prompt_features(" ".join(words)) == prompt_features(" ".join(reversed(words)))
