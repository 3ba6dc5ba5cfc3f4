"""What is to be done about a job: pure functions over records."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts import messages
from rise_contracts.records import TERMINAL, JobRecord, JobState, Waiting
from rise_runtime import plan
from tests.unit.runtime.records import (
    BROKEN,
    DECISION,
    JOB_CANCELLED,
    JOB_FAILED,
    NOW,
    RELAY,
    beat,
    job_done,
    pending,
    report,
    running,
    scheduled,
    stage_done,
    started,
)


def test_a_new_job_asks_the_scheduler() -> None:
    assert plan.next_action(pending(), NOW) == plan.Ask()


def test_a_job_in_its_pause_asks_when_the_pause_is_over() -> None:
    record = plan.waiting(pending(), Waiting.SCHEDULER_AWAY, "nobody", NOW + 5)
    assert plan.next_action(record, NOW + 4) == plan.Nothing()
    assert plan.next_action(record, NOW + 5) == plan.Ask()
    assert (record.waiting_reason, record.waiting_message) == (Waiting.SCHEDULER_AWAY, "nobody")


@pytest.mark.parametrize("make", [scheduled, running])
def test_a_job_under_way_calls_for_nothing(make: Callable[[], JobRecord]) -> None:
    assert plan.next_action(make(), NOW + 10_000) == plan.Nothing()


@pytest.mark.parametrize("ending", [job_done(), JOB_FAILED, JOB_CANCELLED])
def test_a_finished_job_calls_for_nothing_and_stays(ending: messages.Ending) -> None:
    record = plan.concluded(running(), ending)
    assert record.state in TERMINAL
    assert plan.next_action(record, NOW + 1e9) == plan.Nothing()
    assert plan.applied(record, started(1)) == record
    assert plan.failed(record, BROKEN, NOW) == plan.Nothing()
    for other in (job_done(), JOB_FAILED, JOB_CANCELLED):
        assert plan.concluded(record, other) == record


def test_a_suspended_job_waits_until_it_is_resumed() -> None:
    action = plan.next_action(pending(suspend=True), NOW)
    assert isinstance(action, plan.Become)
    assert action.record.state is JobState.SUSPENDED
    assert plan.next_action(action.record, NOW) == plan.Nothing()
    spec = action.record.request.spec.model_copy(update={"suspend": False})
    resumed = action.record.model_copy(update={"request": action.record.request.model_copy(update={"spec": spec})})
    back = plan.next_action(resumed, NOW)
    assert isinstance(back, plan.Become)
    assert plan.next_action(back.record, NOW) == plan.Ask()


def test_the_time_to_start_counts_from_acceptance_until_a_head_starts() -> None:
    record = plan.waiting(pending(start_deadline_seconds=10), Waiting.SCHEDULER_AWAY, "nobody answers")
    assert plan.overdue(record, NOW + 10) is None
    late = plan.next_action(record, NOW + 10.1)
    assert isinstance(late, plan.Fail)
    assert late.failure.reason == "StartDeadlineExceeded"
    assert "SchedulerAway nobody answers" in late.failure.message
    begun = plan.applied(scheduled(start_deadline_seconds=10), started())
    assert plan.overdue(begun, NOW + 1e6) is None


def test_the_time_to_finish_counts_from_the_first_start() -> None:
    record = plan.applied(scheduled(active_deadline_seconds=10), started(at=NOW + 100))
    assert plan.overdue(record, NOW + 110) is None
    late = plan.next_action(record, NOW + 110.1)
    assert isinstance(late, plan.Fail)
    assert late.failure.reason == "ActiveDeadlineExceeded"
    again = plan.failed(record, BROKEN, NOW + 105)
    assert isinstance(again, plan.Retry)
    assert again.record.started_at == NOW + 100, "another attempt does not start the clock anew"


def test_a_scheduled_job_has_its_head_task() -> None:
    record = scheduled()
    task = plan.head_task(record)
    assert (task.stage_index, task.attempt, task.payload) == (0, 1, None)
    assert task.configuration == RELAY
    assert [status.index for status in record.stages] == [0, 1]
    assert record.waiting_reason is Waiting.IN_QUEUE
    with pytest.raises(ValueError, match="no decision"):
        plan.head_task(pending())


def test_events_fill_in_the_stages() -> None:
    record = running()
    assert (record.state, record.started_at, record.waiting_reason) == (JobState.RUNNING, NOW + 2, None)
    record = plan.applied(record, stage_done(0))
    record = plan.applied(record, started(1, at=NOW + 5, delivery=2))
    assert record.started_at == NOW + 2
    assert [status.worker for status in record.stages] == ["edge-1", "device-1"]
    assert [status.delivery for status in record.stages] == [1, 2]
    assert record.stages[0].report == report(0)


@pytest.mark.parametrize("event", [started(attempt=2), stage_done(attempt=2)])
def test_events_of_another_attempt_change_nothing(event: messages.Event) -> None:
    record = running()
    assert plan.applied(record, event) == record


def test_events_of_a_job_without_a_decision_change_nothing() -> None:
    assert plan.applied(pending(), started()) == pending()


def test_an_event_taken_twice_changes_nothing_more() -> None:
    for event in (started(), stage_done()):
        once = plan.applied(running(), event)
        assert plan.applied(once, event) == once


def test_a_failed_attempt_is_followed_by_another() -> None:
    record = plan.applied(running(), stage_done(0))
    action = plan.failed(record, BROKEN, NOW + 10, avoid="edge-1")
    assert isinstance(action, plan.Retry)
    following = action.record
    assert (following.attempt, following.state, following.decision) == (2, JobState.PENDING, None)
    assert following.failures == (BROKEN,)
    assert following.avoid == ("edge-1",)
    assert following.spent_edge_s == 2.0
    assert following.stages == ()
    assert plan.next_action(following, NOW + 10) == plan.Ask(), "the first retry comes at once"


def test_each_further_attempt_waits_longer() -> None:
    record, pauses = scheduled(backoff_limit=8), []
    for attempt in range(1, 9):
        action = plan.failed(record, BROKEN.model_copy(update={"attempt": attempt}), NOW)
        assert isinstance(action, plan.Retry)
        pauses.append(action.record.not_before - NOW)
        record = action.record
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30]


def test_after_the_last_attempt_the_job_fails() -> None:
    record = scheduled(backoff_limit=1)
    action = plan.failed(record, BROKEN, NOW)
    assert isinstance(action, plan.Retry)
    end = plan.failed(action.record, BROKEN.model_copy(update={"attempt": 2}), NOW)
    assert isinstance(end, plan.Fail)
    assert end.failure.reason == "BackoffLimitExceeded"
    assert "2 attempts failed (backoffLimit 1); the last: StageFailed: it broke" in end.failure.message


def test_without_retries_the_failure_itself_is_the_reason() -> None:
    assert plan.failed(scheduled(backoff_limit=0), BROKEN, NOW) == plan.Fail(BROKEN)


def test_a_failure_that_would_come_again_is_not_tried_again() -> None:
    assert plan.failed(scheduled(), BROKEN, NOW, retriable=False) == plan.Fail(BROKEN)


def test_a_failure_of_another_attempt_does_nothing() -> None:
    assert plan.failed(running(), BROKEN.model_copy(update={"attempt": 2}), NOW) == plan.Nothing()


def test_the_same_worker_is_avoided_once() -> None:
    record = running().model_copy(update={"avoid": ("edge-1", "edge-2")})
    action = plan.failed(record, BROKEN, NOW, avoid="edge-1")
    assert isinstance(action, plan.Retry)
    assert action.record.avoid == ("edge-1", "edge-2")


def test_a_stage_without_a_worker_is_noticed() -> None:
    record = running()
    assert plan.unserved(record, [beat("edge-1", "edge")]) is None
    why = plan.unserved(record, [beat("device-1", "device")])
    assert why is not None
    assert "no worker of pool edge, which stage 0 needs" in why
    record = plan.applied(record, stage_done(0))
    assert plan.unserved(record, [beat("device-1", "device")]) is None
    assert plan.unserved(pending(), []) is None


def test_a_stage_bound_to_a_worker_needs_that_one() -> None:
    bound = RELAY.model_copy(
        update={"stages": (RELAY.stages[0].model_copy(update={"worker": "edge-7"}), RELAY.stages[1])}
    )
    record = plan.scheduled(pending(), DECISION.model_copy(update={"configuration": bound}), NOW)
    assert plan.unserved(record, [beat("edge-7", "edge")]) is None
    why = plan.unserved(record, [beat("edge-1", "edge")])
    assert why is not None
    assert "worker edge-7" in why


def test_why_a_job_waits_is_noted_once_and_taken_back() -> None:
    noted = plan.noted(scheduled(), "no worker")
    assert isinstance(noted, plan.Become)
    assert noted.record.waiting_message == "no worker"
    assert plan.noted(noted.record, "no worker") == plan.Nothing()
    back = plan.noted(noted.record, "")
    assert isinstance(back, plan.Become)
    assert (back.record.waiting_reason, back.record.waiting_message) == (Waiting.IN_QUEUE, "")
    lost = plan.noted(running(), "no worker")
    assert isinstance(lost, plan.Become)
    again = plan.noted(lost.record, "")
    assert isinstance(again, plan.Become)
    assert again.record.waiting_reason is None


EVENTS = [
    started(0),
    started(1),
    started(0, delivery=2),
    started(0, attempt=2),
    stage_done(0),
    stage_done(1),
    stage_done(0, attempt=2),
]
ENDINGS: list[messages.Ending] = [job_done(), JOB_FAILED, JOB_CANCELLED]


@given(st.lists(st.sampled_from(EVENTS), max_size=8), st.lists(st.sampled_from(ENDINGS), min_size=1, max_size=3))
def test_whatever_comes_in_whatever_order_there_is_one_final_state(
    events: list[messages.Event], endings: list[messages.Ending]
) -> None:
    record = scheduled()
    for event in events:
        record = plan.applied(record, event)
        assert record.attempt == 1
        assert not record.finished
    first = plan.concluded(record, endings[0])
    assert first.finished
    final = first
    for ending in endings[1:]:
        final = plan.concluded(final, ending)
    for event in events:
        final = plan.applied(final, event)
    assert final == first


@given(st.integers(0, 5), st.lists(st.booleans(), max_size=12))
def test_every_job_ends_after_at_most_its_retries(limit: int, retriable: list[bool]) -> None:
    record, attempts = scheduled(backoff_limit=limit), 1
    for number, again in enumerate(retriable, start=1):
        action = plan.failed(record, BROKEN.model_copy(update={"attempt": number}), NOW, retriable=again)
        if isinstance(action, plan.Fail):
            break
        assert isinstance(action, plan.Retry)
        record, attempts = plan.scheduled(action.record, DECISION, NOW), attempts + 1
    assert attempts <= limit + 1
