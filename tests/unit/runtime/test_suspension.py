"""Jobs that are put aside and go on: what becomes of their record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.records import JobRecord, JobState, Waiting
from rise_runtime import plan
from tests.unit.runtime.records import (
    BROKEN,
    DECISION,
    JOB_FAILED,
    NOW,
    job_done,
    pending,
    report,
    running,
    scheduled,
    stage_done,
    started,
)


def told(record: JobRecord, *, suspend: bool) -> JobRecord:
    """The record after somebody changed `suspend` in it."""
    spec = record.request.spec.model_copy(update={"suspend": suspend})
    return record.model_copy(update={"request": record.request.model_copy(update={"spec": spec})})


def put_aside(record: JobRecord, now: float = NOW + 3) -> JobRecord:
    action = plan.next_action(told(record, suspend=True), now)
    assert isinstance(action, plan.Withdraw | plan.Become), action
    return action.record


def resumed(record: JobRecord, now: float) -> JobRecord:
    action = plan.next_action(told(record, suspend=False), now)
    assert isinstance(action, plan.Become), action
    return action.record


@pytest.mark.parametrize("make", [scheduled, running, lambda: plan.applied(running(), stage_done(0))])
def test_a_job_under_way_is_withdrawn(make: Callable[[], JobRecord]) -> None:
    action = plan.next_action(told(make(), suspend=True), NOW + 3)
    assert isinstance(action, plan.Withdraw)
    record = action.record
    assert (record.state, record.attempt, record.waiting_reason) == (JobState.SUSPENDED, 2, Waiting.SUSPENDED)
    assert (record.decision, record.stages, record.scheduled_at, record.started_at) == (None, (), None, None)
    assert plan.next_action(record, NOW + 1e9) == plan.Nothing(), "it sleeps for as long as it is told to"


def test_a_job_that_waits_to_be_scheduled_has_no_work_to_withdraw() -> None:
    action = plan.next_action(pending(suspend=True), NOW)
    assert isinstance(action, plan.Become)
    assert (action.record.state, action.record.attempt) == (JobState.SUSPENDED, 1)


def test_what_it_failed_at_and_what_it_cost_is_kept() -> None:
    retry = plan.failed(plan.applied(running(), stage_done(0)), BROKEN, NOW + 3, avoid="edge-1")
    assert isinstance(retry, plan.Retry)
    second = plan.scheduled(retry.record, DECISION, NOW + 4)
    second = plan.applied(plan.applied(second, started(attempt=2)), stage_done(0, attempt=2))
    record = put_aside(second)
    assert (record.failures, record.avoid, record.attempt) == ((BROKEN,), ("edge-1",), 3)
    assert record.spent_edge_s == 2 * report(0).seconds


def test_to_be_put_aside_is_no_failure() -> None:
    record = scheduled(backoff_limit=0)
    for attempt in range(1, 5):
        record = resumed(put_aside(record), NOW + 10)
        assert record.failures == ()
        assert record.attempt == attempt + 1
        record = plan.scheduled(record, DECISION, NOW + 11)


def test_a_resumed_job_is_scheduled_anew() -> None:
    record = resumed(put_aside(running()), NOW + 100)
    assert (record.state, record.waiting_reason, record.resumed_at) == (JobState.PENDING, Waiting.ACCEPTED, NOW + 100)
    assert plan.next_action(record, NOW + 100) == plan.Ask()


def test_the_time_to_start_counts_from_when_it_was_resumed() -> None:
    record = resumed(put_aside(scheduled(start_deadline_seconds=10), NOW + 5), NOW + 100)
    assert plan.overdue(record, NOW + 110) is None
    late = plan.overdue(record, NOW + 110.1)
    assert late is not None and late.reason == "StartDeadlineExceeded"


def test_a_job_that_had_started_must_start_again_in_time() -> None:
    record = resumed(put_aside(plan.applied(scheduled(start_deadline_seconds=10), started())), NOW + 100)
    late = plan.overdue(record, NOW + 110.1)
    assert late is not None and late.reason == "StartDeadlineExceeded"


def between_attempts(**spec: Any) -> JobRecord:
    """A job whose first attempt has failed, and whose second waits."""
    retry = plan.failed(plan.applied(scheduled(**spec), started()), BROKEN, NOW + 3)
    assert isinstance(retry, plan.Retry)
    return retry.record


@pytest.mark.parametrize(
    "make",
    [lambda **spec: plan.applied(scheduled(**spec), started()), between_attempts],
    ids=["at work", "between two attempts"],
)
def test_the_time_to_finish_counts_anew(make: Callable[..., JobRecord]) -> None:
    record = resumed(put_aside(make(active_deadline_seconds=10)), NOW + 100)
    assert plan.overdue(record, NOW + 1e6) is None, "it has not started again"
    record = plan.applied(plan.scheduled(record, DECISION, NOW + 101), started(attempt=record.attempt, at=NOW + 102))
    assert plan.overdue(record, NOW + 112) is None
    late = plan.overdue(record, NOW + 112.1)
    assert late is not None and late.reason == "ActiveDeadlineExceeded"


def test_no_time_is_over_while_it_sleeps() -> None:
    record = put_aside(plan.applied(scheduled(start_deadline_seconds=1, active_deadline_seconds=5), started()))
    assert plan.next_action(record, NOW + 1e9) == plan.Nothing()


def test_a_job_that_is_late_already_fails_even_if_it_is_put_aside() -> None:
    late = plan.applied(scheduled(active_deadline_seconds=5), started())
    assert isinstance(plan.next_action(told(late, suspend=True), NOW + 100), plan.Fail)


def test_events_of_work_that_was_withdrawn_change_nothing() -> None:
    record = put_aside(running())
    for event in (started(), stage_done(0), started(1), stage_done(1)):
        assert plan.applied(record, event) == record
    assert plan.failed(record, BROKEN, NOW) == plan.Nothing()
    assert plan.unserved(record, []) is None


def test_a_result_that_was_stored_first_counts() -> None:
    """A picture that exists is not thrown away; that of two tries the second is dropped is the store's affair."""
    record = plan.concluded(put_aside(running()), job_done(1))
    assert record.state is JobState.COMPLETE
    assert plan.outcome(record, job_done(1)) is None, "no decision is to be praised or blamed for it"
    assert plan.next_action(told(record, suspend=True), NOW) == plan.Nothing()


def test_a_job_that_is_over_is_not_put_aside() -> None:
    over = plan.concluded(running(), JOB_FAILED)
    assert plan.next_action(told(over, suspend=True), NOW) == plan.Nothing()


@given(st.lists(st.sampled_from(["suspend", "resume", "schedule", "start", "done", "fail"]), max_size=30))
def test_however_often_it_is_put_aside_attempts_only_grow(steps: list[str]) -> None:
    record, now = pending(backoff_limit=20), NOW
    for step in steps:
        before, now = record, now + 1
        if step in ("suspend", "resume"):
            record = told(record, suspend=step == "suspend")
        elif step == "schedule" and plan.next_action(record, now + 60) == plan.Ask():
            record = plan.scheduled(record, DECISION, now)
        elif step == "start":
            record = plan.applied(record, started(attempt=record.attempt, at=now))
        elif step == "done":
            record = plan.applied(record, stage_done(0, attempt=record.attempt))
        elif step == "fail" and record.decision is not None:
            action = plan.failed(record, BROKEN.model_copy(update={"attempt": record.attempt}), now)
            record = action.record if isinstance(action, plan.Retry) else record
        action = plan.next_action(record, now)
        if isinstance(action, plan.Become | plan.Withdraw):
            record = action.record
            assert isinstance(plan.next_action(record, now), plan.Nothing | plan.Ask), "one step is enough"
        assert record.attempt - before.attempt in (0, 1)
        assert len(record.failures) <= record.attempt - 1
        assert record.spent_edge_s >= before.spent_edge_s
        assert (record.decision is None) == (record.state in (JobState.PENDING, JobState.SUSPENDED))


@pytest.mark.parametrize("record", [scheduled(), running()], ids=["scheduled", "running"])
def test_a_record_that_its_fence_has_passed_goes_on_to_the_next_attempt_without_a_failure(record: JobRecord) -> None:
    following = plan.passed(record)
    assert (following.attempt, following.state, following.failures) == (record.attempt + 1, JobState.PENDING, ())
    assert (following.decision, following.stages) == (None, ())
    assert isinstance(plan.next_action(following, NOW + 4), plan.Ask)
