"""The last word of a process, from the error to whoever reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts import termination
from rise_contracts.errors import BusUnavailable, InvalidInput, LatentsDiffer, RiseError, StageFailed
from rise_contracts.termination import LastWord
from rise_runtime.lastword import leave_word


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (LatentsDiffer("member a", "the latent contract of its family", "scaling_factor 1.0"), "LatentsDiffer"),
        (InvalidInput("--tier", "one of edge, device", "moon"), "InvalidInput"),
        (BusUnavailable("nats://a", "no answer"), "BusUnavailable"),
        (StageFailed("no", reason="OutOfMemory"), "OutOfMemory"),
    ],
)
def test_it_says_the_reason_and_the_words(error: RiseError, reason: str) -> None:
    line = termination.encode(error)
    assert line.count("\n") == 1
    assert termination.decode(line) == LastWord(reason=reason, message=str(error))


@given(st.text(), st.text(max_size=3000))
def test_it_fits_where_it_goes_and_is_read_as_it_was(name: str, text: str) -> None:
    line = termination.encode(InvalidInput(name, text, text, text))
    assert len(line.encode()) <= termination.LONGEST_BYTES
    word = termination.decode(line)
    assert word is not None
    assert str(InvalidInput(name, text, text, text)).startswith(word.message)


@given(st.text() | st.sampled_from(['{"reason":"A"}', '{"reason":1,"message":"b"}', "[]", "null", "rise_stage: no"]))
def test_whatever_else_was_written_is_none(text: str) -> None:
    assert termination.decode(text) is None


def test_what_a_newer_process_adds_is_left_out() -> None:
    assert termination.decode('{"reason":"A","message":"b","hint":"c"}') == LastWord(reason="A", message="b")


class TestLeaving:
    error = InvalidInput("--tier", "one of edge, device", "moon")

    def test_it_is_in_the_file_that_the_environment_names(self, tmp_path: Path) -> None:
        file = tmp_path / "word"
        leave_word(self.error, {termination.VARIABLE: str(file)})
        assert termination.decode(file.read_text()) == LastWord(reason="InvalidInput", message=str(self.error))

    def test_without_a_file_nothing_is_left(self, tmp_path: Path) -> None:
        leave_word(self.error, {})
        leave_word(self.error, {termination.VARIABLE: str(tmp_path / "no" / "folder")})
        assert list(tmp_path.iterdir()) == []
