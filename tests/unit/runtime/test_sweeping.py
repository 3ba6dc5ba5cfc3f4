"""Which bytes on the bus are of no use to anybody."""

from __future__ import annotations

import pytest

from rise_contracts import messages, subjects
from rise_contracts.records import JobRecord, JobState
from rise_contracts.resources import RelayJobSpec
from rise_runtime.sweeping import Kept, orphans, read

CHUNKS, CHECKPOINTS = subjects.STREAM_BLOBS, subjects.STREAM_CHECKPOINTS
LANE = subjects.lane("edge", None)
SHELF = subjects.shelf(LANE, None)


def record(state: JobState, attempt: int = 1) -> JobRecord:
    request = messages.JobRequest(job_id="job-1", spec=RelayJobSpec(prompt="a"), seed=1, accepted_at=0.0)
    return JobRecord(request=request, state=state, attempt=attempt)


def test_a_subject_says_whose_it_is() -> None:
    handoff = subjects.blob(SHELF, "job-1", "handoff", 3, "ab")
    assert read(CHUNKS, f"{handoff}.17") == Kept(CHUNKS, handoff, "job-1", 3, chunks=True)
    result = subjects.blob(subjects.shelf(subjects.lane(subjects.KEPT, None), None), "job-1", "result", 2, "ab")
    assert read(CHUNKS, f"{result}.0") == Kept(CHUNKS, result, "job-1", 2, result=True, chunks=True)
    checkpoint = subjects.checkpoint(subjects.lane("device", "device-1"), "job-1", 4, 1)
    assert read(CHECKPOINTS, checkpoint) == Kept(CHECKPOINTS, checkpoint, "job-1", 4)


@pytest.mark.parametrize(
    ("stream", "rest"),
    [
        (CHUNKS, ""),
        (CHUNKS, "job-1"),
        (CHUNKS, "job-1.result.1.ab"),
        (CHUNKS, "job-1.result.one.ab.0"),
        (CHUNKS, "job-1.result.-1.ab.0"),
        (CHUNKS, "job-1.result.1.ab.0.more"),
        (CHECKPOINTS, "job-1.1"),
        (CHECKPOINTS, "job-1.\u0661.0"),
        (CHECKPOINTS, "job-1.x.0"),
    ],
)
def test_what_a_device_makes_up_is_of_no_job_and_goes(stream: str, rest: str) -> None:
    lane = "rise.blobs.device.device-9.device-9" if stream == CHUNKS else "rise.checkpoints.device.device-9"
    kept = read(stream, f"{lane}.{rest}".rstrip("."))
    assert kept.job_id == ""
    assert orphans([kept], {"job-1": record(JobState.RUNNING)}) == [kept]


@pytest.mark.parametrize(
    ("state", "attempt", "over"),
    [
        (JobState.PENDING, 1, False),
        (JobState.RUNNING, 1, False),
        (JobState.RUNNING, 2, True),
        (JobState.SUSPENDED, 2, True),
        (JobState.COMPLETE, 1, True),
        (JobState.FAILED, 1, True),
        (JobState.CANCELLED, 1, True),
    ],
)
def test_what_is_kept_for_an_attempt_goes_with_it(state: JobState, attempt: int, over: bool) -> None:
    kept = [
        read(CHECKPOINTS, subjects.checkpoint(LANE, "job-1", 1, 0)),
        read(CHUNKS, subjects.blob(SHELF, "job-1", "checkpoint", 1, "x") + ".0"),
    ]
    assert orphans(kept, {"job-1": record(state, attempt)}) == (kept if over else [])


def test_bytes_of_a_job_that_is_gone_go_and_those_of_an_attempt_to_come_stay() -> None:
    ahead = read(CHECKPOINTS, subjects.checkpoint(LANE, "job-1", 2, 0))
    gone = read(CHECKPOINTS, subjects.checkpoint(LANE, "job-2", 1, 0))
    assert orphans([ahead, gone], {"job-1": record(JobState.RUNNING)}) == [gone]
