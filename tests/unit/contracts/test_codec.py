"""Messages to bytes and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts import codec, errors, messages
from rise_contracts.records import JobRecord, JobState
from rise_contracts.resources import RelayJobSpec

REQUEST = messages.JobRequest(job_id="job-1", spec=RelayJobSpec(prompt="a\nb ✓"), seed=3, accepted_at=1.5)
CANCEL = messages.Cancel(job_id="job-1", attempt=2)
FAILED = messages.JobFailed(job_id="job-1", attempt=1, at=2.0, reason="R", message="m")


def test_a_message_reads_back_as_itself() -> None:
    assert codec.decode(messages.JobRequest, codec.encode(REQUEST)) == REQUEST
    record = JobRecord(request=REQUEST, state=JobState.RUNNING, avoid=("edge-1",))
    assert codec.decode(JobRecord, codec.encode(record)) == record


@given(st.binary(max_size=300))
def test_bytes_travel_behind_a_message_untouched(payload: bytes) -> None:
    message, got = codec.decode_with_payload(messages.JobRequest, codec.encode(REQUEST, payload))
    assert (message, got) == (REQUEST, payload)


@given(st.text(min_size=1, max_size=1000).filter(lambda text: bool(text.strip())))
def test_no_prompt_breaks_the_border(prompt: str) -> None:
    try:
        spec = RelayJobSpec(prompt=prompt)
    except ValueError:
        return
    request = REQUEST.model_copy(update={"spec": spec})
    message, got = codec.decode_with_payload(messages.JobRequest, codec.encode(request, b"\x00\n\xff"))
    assert (message, got) == (request, b"\x00\n\xff")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"version":2,"job_id":"job-1","attempt":1}',
        b'{"version":1,"job_id":"job-1"}',
        b'{"version":1,"job_id":"job-1","attempt":"1"}',
        b'{"version":1,"job_id":"Job 1","attempt":1}',
        b'{"version":1,"job_id":"job-1","attempt":0}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_whole_valid_message_is_refused(data: bytes) -> None:
    with pytest.raises(errors.InvalidInput, match="a valid Cancel"):
        codec.decode(messages.Cancel, data)


def test_events_are_told_by_their_kind() -> None:
    assert codec.decode_event(codec.encode(FAILED)) == (FAILED, b"")
    with pytest.raises(errors.InvalidInput, match="a valid Event"):
        codec.decode_event(b'{"version":1,"kind":"unheard-of"}')


def test_an_ending_is_one_of_three() -> None:
    assert codec.decode_ending(codec.encode(FAILED))[0] == FAILED
    started = messages.StageStarted(
        job_id="job-1", attempt=1, at=1.0, stage=0, worker="edge-1", member="large", tier="edge", steps=3
    )
    assert codec.decode_event(codec.encode(started))[0] == started
    with pytest.raises(errors.InvalidInput, match="a valid Ending"):
        codec.decode_ending(codec.encode(started))


def test_a_problem_is_raised_where_an_answer_was_wanted() -> None:
    assert codec.decode_reply(messages.Cancel, codec.encode(CANCEL)) == CANCEL
    data = codec.encode_problem(errors.UnknownName("member", "lage", ["large"]))
    with pytest.raises(errors.RemoteError, match="did you mean 'large'") as caught:
        codec.decode_reply(messages.Cancel, data)
    assert (caught.value.reason, caught.value.exit_code, caught.value.retriable) == ("UnknownName", 2, False)
    busy = codec.encode_problem(errors.Busy("all workers are away"))
    with pytest.raises(errors.RemoteError) as caught:
        codec.decode_reply(messages.Cancel, busy)
    assert (caught.value.exit_code, caught.value.retriable) == (6, True)


def test_a_long_value_is_cut_in_the_complaint() -> None:
    long = b'{"version":1,"job_id":"' + b"x" * 5000 + b'","attempt":1}'
    with pytest.raises(errors.InvalidInput) as caught:
        codec.decode(messages.Cancel, long)
    assert len(str(caught.value)) < 400
