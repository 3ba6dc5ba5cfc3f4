"""What an error says of a prompt: nothing, however it came into the error's words."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rise_contracts import codec, privacy
from rise_contracts.errors import InvalidInput
from rise_contracts.messages import Configure
from rise_contracts.privacy import HIDDEN, Hidden
from tests.unit.contracts import samples
from tests.unit.scheduler.builders import question

SECRET = "my neighbour's Görliwood villa, at dawn"


@pytest.mark.parametrize("value", [None, True, 7, 2.5, "short", ""])
def test_numbers_and_short_words_are_shown(value: object) -> None:
    assert privacy.told("seed", value) == value


@pytest.mark.parametrize("field", sorted(privacy.PRIVATE))
def test_of_a_private_field_only_the_length_is_told(field: str) -> None:
    assert repr(privacy.told(field, "x" * 12)) == "a str of length 12"
    assert privacy.told("family", "x" * 81) == Hidden("str", 81)
    assert repr(privacy.told("request", {"prompt": SECRET})) == "a dict of length 1"
    assert repr(privacy.told("request", object())) == "a object"


def altered(change: str) -> bytes:
    """A question to the scheduler with the secret in it, and something wrong."""
    body = json.loads(codec.encode(question()))
    spec = body["request"]["spec"]
    spec["prompt"] = SECRET
    match change:
        case "too long":
            spec["prompt"] = SECRET * 40
        case "no text":
            spec["prompt"] = [SECRET]
        case "negative":
            spec["negativePrompt"] = SECRET * 40
        case "unknown field":
            spec["promt"] = SECRET
        case "unknown field outside":
            body["prompt"] = SECRET
        case "no list":
            body["avoid"] = SECRET * 3
        case "no object":
            body["request"]["spec"] = SECRET
        case "cut off":
            return json.dumps(body, ensure_ascii=False).encode()[:-9]
        case "not even JSON":
            return f"prompt={SECRET}".encode()
    return json.dumps(body, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    "change",
    [
        "too long",
        "no text",
        "negative",
        "unknown field",
        "unknown field outside",
        "no list",
        "no object",
        "cut off",
        "not even JSON",
    ],
)
def test_a_message_that_cannot_be_read_is_refused_without_its_prompt(change: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        codec.decode(Configure, altered(change), extra="forbid")
    assert leaks(str(refused.value)) == ""


def test_a_field_that_is_wrong_is_still_named_with_what_was_got() -> None:
    data = codec.encode(samples.TASK).replace(b'"contract_version":1', b'"contract_version":9')
    with pytest.raises(InvalidInput, match=r"contract_version: .* got 9"):
        codec.decode(type(samples.TASK), data)


def leaks(text: str, secret: str = SECRET) -> str:
    """A piece of the secret in the text that is as long as what has to be hidden."""
    size = privacy.SHORTEST
    pieces = (secret[start : start + size] for start in range(len(secret) - size + 1))
    return next((piece for piece in pieces if piece.lower() in text.lower()), "")


@pytest.mark.parametrize(
    "text",
    [
        f"ValueError: cannot encode {SECRET}",
        f"ValueError: cannot encode {SECRET!r}",
        f"ValueError: cannot encode {json.dumps(SECRET)}",
        f"ValueError: cannot encode {SECRET!a}",
        f"too long, cut off: [{SECRET[4:30].upper()!r}]",
        f"{SECRET} and again {SECRET.lower()}",
        f"{SECRET[:20]} … {SECRET[-20:]}",
    ],
)
def test_no_piece_of_a_prompt_is_left(text: str) -> None:
    told = privacy.without(text, SECRET)
    assert leaks(told) == "" and HIDDEN in told


def test_what_is_not_the_prompts_stays() -> None:
    text = "CUDA out of memory. Tried to allocate 2 GiB"
    assert privacy.without(text, SECRET, "") == text
    assert privacy.without("the stage failed at step 3", "a") == "the stage failed at step 3"
    assert privacy.without("Bob failed at step 3", "bob ") == "Bob failed at step 3"
    assert privacy.without("Alice failed at step 3", "alice") == f"{HIDDEN} failed at step 3"
    assert privacy.without("x", "   ") == "x"
    assert privacy.without("[hidden] stays", HIDDEN) == f"{HIDDEN} stays"


@given(st.text(max_size=60), st.text(min_size=privacy.SHORTEST, max_size=60), st.text(max_size=60))
def test_a_prompt_anywhere_in_a_text_is_hidden(before: str, prompt: str, after: str) -> None:
    assume(len(prompt.strip()) >= privacy.SHORTEST)
    assume(prompt.strip().lower() not in HIDDEN and HIDDEN not in prompt.lower())
    assert prompt not in privacy.without(before + prompt + after, prompt).replace(HIDDEN, "\N{NO-BREAK SPACE}")


def test_a_text_of_any_length_is_cut_before_it_is_looked_at() -> None:
    assert len(privacy.without("a" * 10**7, "b" * 1000)) == 1000
