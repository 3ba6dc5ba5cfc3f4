"""Each moment is known by messages that processes really send, and by no other job's."""

from __future__ import annotations

import pytest

from benchmarks.chaos import moments
from benchmarks.chaos.wire import Said
from benchmarks.chaos.words import Moment
from rise_contracts import codec, messages, subjects
from rise_contracts.records import JobRecord, JobState
from rise_contracts.resources import RelayJobSpec

JOB, OTHER = "job-1", "job-10"


def said(subject: str, payload: bytes = b"", headers: bytes = b"") -> Said:
    return Said(b"", "PUB", subject, "", headers, payload)


def progress(job: str, stage: int, step: int) -> Said:
    event = messages.StageProgress(
        job_id=job, attempt=1, at=0.0, stage=stage, worker="w", member="m", tier="edge", step=step, steps=9,
        sigma=1.0, seconds_per_step=0.1,
    )  # fmt: skip
    return said(f"rise.progress.{job}", codec.encode(event))


def record(job: str, state: JobState) -> Said:
    request = messages.JobRequest(job_id=job, spec=RelayJobSpec(prompt="a"), seed=1, accepted_at=0.0)
    return said(f"$KV.rise_jobs.{job}", codec.encode(JobRecord(request=request, state=state)))


def question(job: str) -> Said:
    request = messages.JobRequest(job_id=job, spec=RelayJobSpec(prompt="a"), seed=1, accepted_at=0.0)
    return said(subjects.CONFIGURE, codec.encode(messages.Configure(request=request, attempt=1)))


def work(job: str) -> Said:
    return said(subjects.work("device", None, job, 1), b"{}")


ACK = said("$JS.ACK.RISE_WORK_EDGE.any.1.5.4.123.0", b"+ACK")
STILL = said("$JS.ACK.RISE_WORK_EDGE.any.1.5.4.123.0", b"+WPI")
RESULT = said(f"$KV.rise_results.{JOB}", b"{}")
REMOVAL = said(f"$KV.rise_results.{JOB}", b"", b"NATS/1.0\r\nKV-Operation: DEL\r\n\r\n")

SIGNS = [
    (Moment.BEFORE_DECISION, [question(OTHER), question(JOB)]),
    (Moment.BEFORE_DISPATCH, [work(OTHER), work(JOB)]),
    (Moment.IN_HEAD, [progress(JOB, 0, 2), progress(OTHER, 0, 3), progress(JOB, 1, 3), progress(JOB, 0, 3)]),
    (Moment.LATENT_STORED, [ACK, work(JOB), STILL, ACK]),
    (Moment.IN_TAIL, [progress(JOB, 0, 3), progress(JOB, 1, 3)]),
    (Moment.RESULT_STORED, [ACK, RESULT, STILL, ACK]),
    (
        Moment.WRITING_STATUS,
        [record(JOB, JobState.SCHEDULED), record(OTHER, JobState.RUNNING), record(JOB, JobState.RUNNING)],
    ),
    (Moment.IN_DELETION, [RESULT, REMOVAL]),
]


@pytest.mark.parametrize(("moment", "sequence"), SIGNS, ids=[moment.name for moment, _ in SIGNS])
def test_the_last_message_is_the_moment_and_none_before_it(moment: Moment, sequence: list[Said]) -> None:
    left = list(moments.sign(moment, moments.DRIVER, JOB, 3).until)
    for message in sequence[:-1]:
        if len(left) > 1 and left[0](message):
            left.pop(0)
        else:
            assert not left[0](message)
    (last,) = left
    assert last(sequence[-1])


def test_every_moment_has_a_sign_and_somebody_who_gives_it() -> None:
    assert {moment for moment, _ in SIGNS} == set(Moment) == set(moments.WHOSE)


def test_the_scheduler_is_struck_when_it_has_decided_and_nobody_knows() -> None:
    sign = moments.sign(Moment.BEFORE_DECISION, moments.SCHEDULER, JOB, 3)
    assert sign.whose == moments.SCHEDULER
    (answered,) = sign.until
    assert answered(said("_INBOX.x.y", b'{"job_id":"job-1"}'))
    assert not answered(said("_INBOX.x.y", b'{"job_id":"job-10"}'))
    assert not answered(question(JOB))


def test_a_record_that_cannot_be_read_is_no_moment() -> None:
    (status,) = moments.sign(Moment.WRITING_STATUS, moments.DRIVER, JOB, 3).until
    assert not status(said(f"$KV.rise_jobs.{JOB}", b"{"))
    assert not status(said(f"$KV.rise_jobs.{JOB}", b""))
