"""Whatever bytes come: a message that reads back as itself, or one typed line that says what was wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from rise_contracts import codec, errors, messages, subjects
from rise_contracts.handoff import HandoffHeader
from tests.damage import damaged, edited
from tests.unit.contracts import samples

Decode = Callable[[bytes], tuple[Any, bytes]]

steady = settings(max_examples=100, deadline=None, derandomize=True)
every_kind = pytest.mark.parametrize("sample", samples.EVERY, ids=lambda sample: type(sample).__name__)


def check(decode: Decode, data: bytes) -> None:
    """Decoding ends well, or with a refusal that is fit to be told."""
    try:
        message, payload = decode(data)
    except errors.InvalidInput as error:
        check_line(str(error))
        check_refusal(error)
        return
    assert decode(codec.encode(message, payload)) == (message, payload)


def check_refusal(error: errors.InvalidInput) -> None:
    assert error.wanted.startswith("a valid ")
    assert "wanted a valid " in str(error)


def check_line(text: str) -> None:
    assert text.isprintable(), ascii(text)
    assert len(text) < 1500


def decoder(sample: BaseModel) -> Decode:
    if sample in samples.ENDINGS:
        return codec.decode_ending
    if sample in samples.EVENTS:
        return codec.decode_event
    return lambda data: codec.decode_with_payload(type(sample), data)


@every_kind
def test_a_whole_message_reads_back_as_itself(sample: BaseModel) -> None:
    for payload in (b"", b"\n", b"\x00\n\xff"):
        assert decoder(sample)(codec.encode(sample, payload)) == (sample, payload)


@every_kind
@steady
@given(data=st.data())
def test_a_damaged_message_is_read_or_refused(sample: BaseModel, data: st.DataObject) -> None:
    check(decoder(sample), data.draw(damaged(codec.encode(sample, b"\x01payload"))))


@every_kind
@steady
@given(data=st.data())
def test_a_message_with_a_wrong_value_is_read_or_refused(sample: BaseModel, data: st.DataObject) -> None:
    check(decoder(sample), data.draw(edited(codec.encode(sample))))


@steady
@given(content=st.binary(max_size=300))
def test_foreign_bytes_are_refused(content: bytes) -> None:
    for sample in (samples.TASK, samples.HEADER, *samples.EVENTS):
        with pytest.raises(errors.InvalidInput):
            decoder(sample)(content)


@steady
@given(first=st.sampled_from(samples.EVERY), second=st.sampled_from(samples.EVERY))
def test_a_message_is_not_taken_for_one_of_another_kind(first: BaseModel, second: BaseModel) -> None:
    if type(first) is not type(second):
        with pytest.raises(errors.InvalidInput):
            codec.decode(type(first), codec.encode(second), extra="forbid")


@steady
@given(sample=st.sampled_from(samples.EVERY), data=st.data())
def test_a_field_of_a_newer_release_is_passed_over_and_a_persons_slip_is_not(
    sample: BaseModel, data: st.DataObject
) -> None:
    value = data.draw(st.sampled_from([b"1", b"null", b'"text"', b'{"deep":[1,{"er":2}]}', b"[]"]))
    newer = codec.encode(sample)[:-1] + b',"of_a_newer_release":' + value + b"}"
    assert codec.decode(type(sample), newer) == sample
    with pytest.raises(errors.InvalidInput, match="of_a_newer_release"):
        codec.decode(type(sample), newer, extra="forbid")


@steady
@given(data=st.data())
def test_an_answer_is_read_refused_or_raised(data: st.DataObject) -> None:
    problem = codec.encode_problem(errors.UnknownName("member", "lage", ["large"]))
    answer = data.draw(st.sampled_from([problem, codec.encode(samples.DECISION)]))
    came = data.draw(damaged(answer) | edited(answer) | st.binary(max_size=100))
    try:
        assert isinstance(codec.decode_reply(messages.Decision, came), messages.Decision)
    except (errors.InvalidInput, errors.RemoteError) as error:
        check_line(str(error))


def test_a_problem_of_many_lines_is_told_in_one() -> None:
    data = codec.encode(messages.Problem(problem="Odd", message="a\nb\x1b[31m" + "x" * 10**6))
    with pytest.raises(errors.RemoteError, match=r"^a b\?\[31mxxx") as caught:
        codec.decode_reply(messages.Decision, data)
    check_line(str(caught.value))


HOSTILE: dict[str, bytes] = {
    "deep": b"[" * 100_000,
    "deep in a field": b'{"version":1,"job_id":' + b'{"a":' * 100_000,
    "a number of too many digits": b'{"version":1,"job_id":"job-1","attempt":' + b"9" * 5000 + b"}",
    "a negative number of many digits": b'{"version":1,"job_id":"job-1","attempt":-' + b"9" * 4299 + b"}",
    "half a surrogate": b'{"version":1,"job_id":"\\ud800","attempt":1}',
    "not UTF-8": b'{"version":1,"job_id":"\xff","attempt":1}',
    "a megabyte of a key": b'{"version":1,"job_id":"job-1","attempt":1,"' + b"k" * 10**6 + b'":1}',
    "a key for a terminal": b'{"version":1,"job_id":"job-1","attempt":1,"\\u001b[2J\\n":1}',
    "a key twice": b'{"version":1,"job_id":"job-1","attempt":1,"version":2}',
    "nothing but a border": b"\n",
    "a byte order mark": b'\xef\xbb\xbf{"version":1,"job_id":"job-1","attempt":1}',
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_json_is_refused_in_one_line(case: str) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        codec.decode(messages.Cancel, HOSTILE[case], extra="forbid")
    check_line(str(caught.value))


def json_with(sample: BaseModel, old: str, new: str) -> bytes:
    text = codec.encode(sample).decode()
    assert text.count(old) == 1, text
    return text.replace(old, new).encode()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_a_number_that_json_does_not_have_is_refused(number: str) -> None:
    """It would be read, and written as null: a message that its sender took for whole and no receiver does."""
    for sample, old in (
        (samples.REQUEST, '"accepted_at":1.5'),
        (samples.DECISION, '"load":0.5'),
        (samples.TASK, '"denoise":1.25'),
        (samples.HEADER, '"sigma":1.5'),
        (samples.FAMILY, '"handoffs":[1.5'),
    ):
        new = old.replace("0.5", number).replace("1.5", number).replace("1.25", number)
        with pytest.raises(errors.InvalidInput, match="finite"):
            codec.decode(type(sample), json_with(sample, old, new))


def test_a_task_of_a_stage_that_its_configuration_lacks_is_refused() -> None:
    with pytest.raises(errors.InvalidInput, match="stage_index must be below 2, the number of stages, got 7"):
        codec.decode(messages.StageTask, json_with(samples.TASK, '"stage_index":1', '"stage_index":7'))


def test_a_payload_beyond_the_limit_is_refused_before_it_is_fetched() -> None:
    many = subjects.PAYLOAD_LIMIT + 1
    with pytest.raises(errors.InvalidInput, match="less than or equal to"):
        codec.decode(HandoffHeader, json_with(samples.HEADER, '"nbytes":1100', f'"nbytes":{many}'))
    for old, new in (('"nbytes":1100', f'"nbytes":{many}'), ('"chunks":2', f'"chunks":{10**9}')):
        with pytest.raises(errors.InvalidInput, match="less than or equal to"):
            codec.decode(messages.PayloadRef, json_with(samples.REF, old, new))


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_contract_version_is_refused_with_the_one_that_is_wanted(version: int) -> None:
    data = json_with(samples.TASK, '"contract_version":1', f'"contract_version":{version}')
    with pytest.raises(errors.InvalidInput, match=rf"contract_version: .* should be 1, got {version}"):
        codec.decode(messages.StageTask, data)


@steady
@given(subject=st.text(max_size=60) | st.from_regex(r"rise\.work(\.[a-z0-9*>_ +-]{0,4}){3}\.[0-9_ +-]{0,4}"))
def test_a_work_subject_names_its_job_or_nothing(subject: str) -> None:
    try:
        job, attempt = subjects.job_of_work(subject)
    except ValueError as error:
        check_line(str(error))
        return
    _, _, pool, worker, _, _ = subject.split(".")
    assert subjects.work(pool, worker, job, attempt) == subject


@steady
@given(
    job=st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
    worker=st.none() | st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True),
    attempt=st.integers(1, 10**9 - 1),
)
def test_every_work_subject_is_read_back(job: str, worker: str | None, attempt: int) -> None:
    assert subjects.job_of_work(subjects.work("edge", worker, job, attempt)) == (job, attempt)
