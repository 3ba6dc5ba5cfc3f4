"""Each invariant, with a snapshot that breaks it and one that does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.chaos.invariants import DONE_OR_CANCELLED, Snapshot, Verdict, Wanted, judge
from rise_contracts.configuration import Configuration, Stage
from rise_contracts.decisions import DecisionRecord, Settlement
from rise_contracts.messages import (
    Decision,
    Ending,
    ImageRef,
    JobCancelled,
    JobDone,
    JobFailed,
    JobRequest,
    Outcome,
    PayloadRef,
)
from rise_contracts.records import Failure, JobRecord, JobState, ResultRef
from rise_contracts.resources import RelayJobSpec

JOB, DIGEST, WRONG = "job-1", "a" * 64, "b" * 64
IMAGE = ImageRef(nbytes=1, sha256=DIGEST, width=8, height=8)
STAGE = Stage(index=0, member="large", tier="edge", pool="edge", steps=4, sigma_to=0.0)
WANTED = Wanted(JOB, DIGEST)
SETTLED = Settlement(quality=0.9, final=False)


def done(digest: str = DIGEST, attempt: int = 1, subject: str | None = None) -> JobDone:
    kind = {"kind": "inline"} if subject is None else {"kind": "chunks", "subject": subject, "chunks": 1}
    payload = PayloadRef.model_validate({**kind, "nbytes": 1, "sha256": digest})
    return JobDone(
        job_id=JOB, attempt=attempt, at=1.0, worker="device-1", arm="large:4", seed=1, digest=digest, nbytes=1,
        images=(IMAGE,), payload=payload, stages=(),
    )  # fmt: skip


def record(state: JobState = JobState.COMPLETE, attempt: int = 1, result: str | None = DIGEST) -> JobRecord:
    request = JobRequest(job_id=JOB, spec=RelayJobSpec(prompt="a"), seed=1, accepted_at=0.0)
    ref = None if result is None else ResultRef(digest=result, nbytes=1, images=(IMAGE,), worker="device-1", attempt=1)
    return JobRecord(request=request, state=state, attempt=attempt, result=ref)


def outcome(decision: str = "d1", quality: float | None = None) -> Outcome:
    return Outcome(decision_id=decision, job_id=JOB, arm="large:4", latency_s=1.0, edge_s=1.0, quality=quality)


def decision(settlement: Settlement | None = SETTLED) -> DecisionRecord:
    configuration = Configuration(arm="large:4", stages=(STAGE,))
    made = Decision(id="d1", job_id=JOB, arm="large:4", configuration=configuration, policy="fixed")
    return DecisionRecord(
        decision=made, family="rise-shapes", attempt=1, images=1, preference=0.5, expected_quality=0.9,
        learns="large:4", at=0.0, settlement=settlement,
    )  # fmt: skip


RIGHT = Snapshot(
    records={JOB: record()},
    endings={JOB: done()},
    told={JOB: (done(), done())},
    outcomes=(outcome(), outcome(quality=1.0)),
    decisions=(decision(),),
    subjects={
        "rise_jobs": (JOB,),
        "rise_results": (JOB,),
        "rise_fences": (JOB,),
        "rise_decisions": ("d1",),
        "RISE_EVENTS": (f"rise.events.{JOB}.job-done",),
        "RISE_OUTCOMES": ("rise.outcomes",),
        "RISE_WORK_EDGE": (),
    },
)


def test_a_job_that_went_well_is_no_complaint() -> None:
    assert judge(RIGHT, [WANTED]) == Verdict()
    assert judge(RIGHT, [WANTED]).right


def kind(verdict: Verdict) -> list[str]:
    """The kinds of complaint there are."""
    return [name for name in ("lost", "duplicated", "hung", "left") if getattr(verdict, name)]


def ended(ending: Ending, state: JobState, error: Failure | None = None) -> Snapshot:
    records = {JOB: record(state, result=None).model_copy(update={"error": error})}
    return replace(RIGHT, records=records, endings={JOB: ending}, told={})


BROKEN: list[tuple[str, Snapshot, list[str]]] = [
    ("gone without a word", replace(RIGHT, records={}, endings={}, told={}), ["lost"]),
    (
        "failed",
        ended(
            JobFailed(job_id=JOB, attempt=1, at=1.0, reason="WorkLost", message="nowhere"),
            JobState.FAILED,
            Failure(reason="WorkLost", message="nowhere", attempt=1),
        ),
        ["lost"],
    ),
    ("cancelled by nobody", ended(JobCancelled(job_id=JOB, attempt=1, at=1.0), JobState.CANCELLED), ["lost"]),
    ("complete without an ending", replace(RIGHT, endings={}), ["lost"]),
    ("the scheduler never heard", replace(RIGHT, outcomes=()), ["lost"]),
    ("heard and not counted", replace(RIGHT, decisions=(decision(settlement=None),)), ["lost"]),
    ("two results", replace(RIGHT, told={JOB: (done(), done(WRONG))}), ["duplicated"]),
    (
        "done and cancelled",
        replace(RIGHT, told={JOB: (done(), JobCancelled(job_id=JOB, attempt=1, at=2.0))}),
        ["duplicated"],
    ),
    (
        "another picture",
        replace(RIGHT, endings={JOB: done(WRONG)}, told={}, records={JOB: record(result=WRONG)}),
        ["duplicated"],
    ),
    ("record and store disagree", replace(RIGHT, records={JOB: record(result=WRONG)}), ["duplicated"]),
    ("a result of an old attempt", replace(RIGHT, records={JOB: record(attempt=2)}), ["duplicated"]),
    ("two outcomes", replace(RIGHT, outcomes=(outcome(), outcome())), ["duplicated"]),
    ("still running", replace(RIGHT, records={JOB: record(JobState.RUNNING, result=None)}), ["hung"]),
]


@pytest.mark.parametrize(("snapshot", "kinds"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_whatever_is_broken_is_complained_of(snapshot: Snapshot, kinds: list[str]) -> None:
    verdict = judge(snapshot, [WANTED])
    assert kind(verdict) == kinds
    assert all(line.startswith(JOB) for line in (*verdict.lost, *verdict.duplicated, *verdict.hung))


LEFT = [
    ("RISE_WORK_EDGE", f"rise.work.edge.any.{JOB}.1"),
    ("RISE_CHECKPOINTS", f"rise.checkpoints.edge.any.{JOB}.1.0"),
    ("RISE_BLOBS", f"rise.blobs.edge.any.RISE.{JOB}.handoff.1.x"),
    ("RISE_DEAD", f"rise.dead.{JOB}"),
    ("RISE_EVENTS", "rise.events.job-2.job-done"),
    ("rise_jobs", "job-2"),
    ("rise_results", "job-2"),
    ("rise_fences", "job-2"),
    ("rise_outcasts", "device-1"),
]


@pytest.mark.parametrize(("stream", "name"), LEFT, ids=[stream for stream, _ in LEFT])
def test_what_lies_there_still_is_named(stream: str, name: str) -> None:
    subjects = {**RIGHT.subjects, stream: (*RIGHT.subjects.get(stream, ()), name)}
    assert judge(replace(RIGHT, subjects=subjects), [WANTED]).left == (f"{stream}: {name}",)


def test_a_temporary_file_is_named() -> None:
    assert judge(replace(RIGHT, files=("edge-1/latent.bin",)), [WANTED]).left == ("file: edge-1/latent.bin",)


def test_the_bytes_of_a_result_may_stay() -> None:
    subject = f"rise.blobs.device.any.device-1.{JOB}.result.1.x"
    there = replace(
        RIGHT,
        endings={JOB: done(subject=subject)},
        subjects={**RIGHT.subjects, "RISE_BLOBS": (f"{subject}.0", f"{subject}.1", f"{subject}y.0")},
    )
    assert judge(there, [WANTED]).left == (f"RISE_BLOBS: {subject}y.0",)


def test_a_job_that_removes_itself_must_be_gone_with_all_it_had() -> None:
    gone = replace(WANTED, gone=True)
    verdict = judge(RIGHT, [gone])
    assert verdict.hung == (f"{JOB}: to be removed, and still there",)
    assert {line.partition(":")[0] for line in verdict.left} == {
        "RISE_EVENTS", "rise_jobs", "rise_results", "rise_fences",
    }  # fmt: skip
    empty = replace(RIGHT, records={}, endings={}, told={}, subjects={"rise_decisions": ("d1",)})
    assert judge(empty, [gone]) == Verdict()


def test_the_picture_of_a_job_that_is_gone_is_held_against_the_undisturbed_one_too() -> None:
    empty = replace(RIGHT, records={}, endings={}, told={JOB: (done(WRONG),)}, subjects={})
    assert judge(empty, [replace(WANTED, gone=True)]).duplicated == (
        f"{JOB}: wanted the result {DIGEST[:12]}, got {WRONG[:12]}",
    )


def test_a_job_that_was_cancelled_may_end_either_way_and_owes_the_scheduler_nothing() -> None:
    either = replace(WANTED, states=DONE_OR_CANCELLED)
    cancelled = ended(JobCancelled(job_id=JOB, attempt=1, at=1.0), JobState.CANCELLED)
    assert judge(replace(cancelled, outcomes=()), [either]) == Verdict()
    assert judge(RIGHT, [either]) == Verdict()


def test_a_decision_that_nobody_took_up_needs_no_outcome() -> None:
    """The driver died with it: the next one asked again."""
    other = decision(settlement=None)
    unused = other.model_copy(update={"decision": other.decision.model_copy(update={"id": "d0"})})
    assert judge(replace(RIGHT, decisions=(unused, decision())), [WANTED]) == Verdict()


def test_nothing_wanted_and_nothing_there_is_right() -> None:
    assert judge(Snapshot(), []).right
