"""How a job ends, and what the scheduler learns of it: pure functions over records."""

from __future__ import annotations

import pytest

from rise_contracts import messages
from rise_contracts.records import Failure, JobRecord, JobState
from rise_runtime import plan
from tests.unit.runtime.records import (
    BROKEN,
    DECISION,
    JOB_CANCELLED,
    JOB_FAILED,
    NOW,
    RELAY,
    job_done,
    pending,
    report,
    running,
    scheduled,
    stage_done,
    started,
)


def test_a_result_completes_the_job_even_where_its_events_were_missed() -> None:
    record = plan.concluded(scheduled(), job_done())
    assert record.state is JobState.COMPLETE
    assert record.started_at == NOW + 2
    assert record.finished_at == NOW + 8
    assert record.result is not None
    assert record.result.worker == "device-1"
    assert [status.report for status in record.stages] == [report(0), report(1)]
    assert record.error is None


@pytest.mark.parametrize(
    ("record", "ending", "straight"),
    [
        (running(), job_done(), True),
        (scheduled(), job_done(), True),
        (plan.applied(scheduled(), started(delivery=2)), job_done(), False),
        (running().model_copy(update={"attempt": 2}), job_done(attempt=2), False),
        (running().model_copy(update={"attempt": 2}), job_done(attempt=1), False),
        (running(), JOB_CANCELLED, False),
    ],
    ids=["done", "done before its events", "begun twice", "second attempt", "late result", "cancelled"],
)
def test_only_a_job_that_went_straight_leaves_nothing_behind(
    record: JobRecord, ending: messages.Ending, *, straight: bool
) -> None:
    assert plan.went_straight(record, ending) is straight


def test_a_failure_is_kept_with_its_reason() -> None:
    record = plan.concluded(running(), JOB_FAILED)
    assert record.error == Failure(reason="Test", message="it broke", attempt=1)
    assert record.result is None


def test_the_outcome_says_what_the_decision_cost() -> None:
    outcome = plan.outcome(running(), job_done())
    assert outcome is not None
    assert (outcome.decision_id, outcome.arm, outcome.failed) == ("d1", RELAY.arm, False)
    assert (outcome.latency_s, outcome.wait_s, outcome.edge_s) == (8.0, 2.0, 2.0)
    assert outcome.stage_seconds == (2.0, 2.0)
    assert outcome.bytes_handed == 4096
    assert plan.outcome(pending(), JOB_FAILED) is None


def test_the_edge_is_not_charged_for_what_it_did_for_others_meanwhile() -> None:
    shared = report(0).model_copy(update={"timings": {"denoise": 0.5, "waited": 1.5}})
    assert plan.edge_seconds([shared, report(1)]) == pytest.approx(0.5)


def test_what_was_loading_is_told_apart_and_is_never_more_than_the_stage() -> None:
    done = job_done()
    head, tail = done.stages
    head = head.model_copy(update={"timings": {"load": 1.5}})
    tail = tail.model_copy(update={"timings": {"load": 99.0}})
    outcome = plan.outcome(running(), done.model_copy(update={"stages": (head, tail)}))
    assert outcome is not None
    assert (outcome.stage_seconds, outcome.load_seconds) == ((2.0, 2.0), (1.5, 2.0))


def test_what_a_dead_worker_had_done_is_counted_too() -> None:
    """Else a stage that was resumed near its end would pass for a fast one."""
    done = job_done()
    head, tail = done.stages
    head = head.model_copy(update={"resumed_at": 3, "earlier_seconds": 1.5, "timings": {"waited": 0.5}})
    outcome = plan.outcome(running(), done.model_copy(update={"stages": (head, tail)}))
    assert outcome is not None
    assert outcome.stage_seconds == (3.5, 2.0)
    assert outcome.edge_s == 3.0


def test_a_late_result_of_an_earlier_attempt_is_not_credited_to_the_next_decision() -> None:
    retry = plan.failed(running(), BROKEN, NOW + 10)
    assert isinstance(retry, plan.Retry)
    second = plan.scheduled(retry.record, DECISION.model_copy(update={"id": "d2"}), NOW + 11)
    assert plan.outcome(second, job_done(1)) is None
    assert plan.outcome(second, job_done(2)) is not None


def test_a_later_attempt_is_not_charged_for_the_earlier_ones() -> None:
    retry = plan.failed(plan.applied(running(), stage_done(0)), BROKEN, NOW + 10)
    assert isinstance(retry, plan.Retry)
    second = plan.scheduled(retry.record, DECISION.model_copy(update={"id": "d2"}), NOW + 7)
    outcome = plan.outcome(second, job_done(2))
    assert outcome is not None
    assert (outcome.latency_s, outcome.edge_s) == (1.0, 2.0)
    lost = plan.outcome_of_failed_attempt(plan.applied(running(), stage_done(0)), NOW + 10)
    assert lost is not None
    assert (lost.failed, lost.latency_s, lost.edge_s) == (True, 10.0, 2.0)
