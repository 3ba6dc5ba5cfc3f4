"""What people are told about words the embedded family does not know."""

from __future__ import annotations

from rise_cli import vocabulary


def test_known_words_need_no_warning() -> None:
    assert vocabulary.warnings("a small red circle above a large blue square", "rise-shapes") == []


def test_an_unknown_word_is_named_once_with_the_nearest_known() -> None:
    assert vocabulary.warnings("a smal red circle above a smal blue square", "rise-shapes") == [
        "'smal' is not a word that rise-shapes knows, and is ignored; did you mean 'small'?"
    ]
    assert vocabulary.warnings("a red zzz", "rise-shapes") == [
        "'zzz' is not a word that rise-shapes knows, and is ignored"
    ]


def test_known_words_that_make_no_sentence_cannot_be_judged() -> None:
    (said,) = vocabulary.warnings("circle red", "rise-shapes")
    assert said.startswith("the picture can't be judged: wanted a colour")


def test_other_families_read_any_text() -> None:
    assert vocabulary.warnings("an astronaut riding a horse", "sdxl") == []
