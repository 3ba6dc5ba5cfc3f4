"""What is said of a RelayJob in every state of its record."""

from __future__ import annotations

from typing import Any

import pytest

from rise_contracts.records import Failure, JobRecord, JobState, Waiting
from rise_contracts.status import JobCondition, JobReason, RelayJobStatus
from rise_operator.conditions import find, rfc3339
from rise_operator.jobs.observed import Hindrance, Observed
from rise_operator.jobs.status import failure, job_status
from rise_runtime import plan as driving
from tests.unit.operator import builders as make
from tests.unit.operator.builders import NOW


def said(record: JobRecord | None, before: RelayJobStatus | None = None, **changes: Any) -> RelayJobStatus:
    """The status of a job with this record."""
    return job_status(Observed(job=make.job(before), now=NOW + 10, record=record, **changes), None)


def gist(status: RelayJobStatus) -> dict[str, tuple[str, str]]:
    return {condition.type: (condition.status, condition.reason) for condition in status.conditions}


ACCEPTED = {"Accepted": ("True", "Accepted")}


class TestConditions:
    @pytest.mark.parametrize("waiting", [waiting for waiting in Waiting if waiting is not Waiting.SUSPENDED])
    def test_a_job_without_a_decision_says_what_it_waits_for(self, waiting: Waiting) -> None:
        wanted = "Pending" if waiting is Waiting.ACCEPTED else waiting.value
        status = said(driving.waiting(make.record(), waiting, "because"))
        assert gist(status) == {**ACCEPTED, "Scheduled": ("False", wanted)}
        scheduled = find(status.conditions, JobCondition.SCHEDULED)
        assert scheduled is not None and scheduled.message == "because"
        assert status.phase == "Pending"

    def test_a_suspended_one_is_so_in_two_conditions(self) -> None:
        action = driving.suspended(make.started(make.scheduled(make.record())))
        status = said(action)
        suspended = {"Suspended": ("True", "Suspended"), "Scheduled": ("False", "Suspended")}
        assert gist(status) == {**ACCEPTED, **suspended}
        assert (status.phase, status.attempt, status.start_time) == ("Suspended", 2, None)

    def test_one_that_was_suspended_once_says_that_it_is_not_any_more(self) -> None:
        asleep = said(driving.suspended(make.scheduled(make.record())))
        awake = said(make.record(), asleep)
        assert gist(awake)["Suspended"] == ("False", "Resumed")
        assert "Suspended" not in gist(said(make.record()))

    def test_a_scheduled_one_names_its_arm_and_then_what_it_waits_for(self) -> None:
        record = make.scheduled(make.record())
        pending = {"HeadDone": ("False", "Pending"), "TailDone": ("False", "Pending")}
        status = said(record)
        assert gist(status) == {**ACCEPTED, "Scheduled": ("True", "Scheduled"), **pending}
        assert status.phase == "Scheduled"
        scheduled = find(status.conditions, JobCondition.SCHEDULED)
        assert scheduled is not None and scheduled.message == "as large:4@1+small:4"
        noted = driving.noted(record, "no worker of pool edge is alive")
        assert isinstance(noted, driving.Become)
        waits = find(said(noted.record).conditions, JobCondition.SCHEDULED)
        assert waits is not None and waits.message == "no worker of pool edge is alive"

    def test_head_and_tail_are_done_one_after_the_other(self) -> None:
        record = make.started(make.scheduled(make.record()))
        assert gist(said(record))["HeadDone"] == ("False", "Running")
        assert said(record).phase == "Running"
        record = make.started(make.done(record), 1, delivery=2)
        status = said(record)
        assert (gist(status)["HeadDone"], gist(status)["TailDone"]) == (("True", "Done"), ("False", "Running"))
        head, tail = find(status.conditions, JobCondition.HEAD_DONE), find(status.conditions, JobCondition.TAIL_DONE)
        assert head is not None and head.message == "large: 4 steps in 0.751 s on edge-1"
        assert tail is not None and tail.message == "on device-1, delivery 2"

    def test_one_stage_needs_no_tail(self) -> None:
        record = make.started(make.scheduled(make.record(), make.ALONE))
        assert gist(said(record))["TailDone"] == ("False", "NotNeeded")
        over = said(make.complete(record, stages=1))
        assert gist(over)["TailDone"] == ("True", "NotNeeded")
        assert gist(over)["Complete"] == ("True", "Completed")

    def test_a_complete_one_tells_how_the_picture_was_made(self) -> None:
        status = said(make.complete(make.scheduled(make.record())))
        done = {"HeadDone": ("True", "Done"), "TailDone": ("True", "Done"), "Complete": ("True", "Completed")}
        assert gist(status) == {**ACCEPTED, "Scheduled": ("True", "Scheduled"), **done}
        complete = find(status.conditions, JobCondition.COMPLETE)
        assert complete is not None
        assert complete.message == "large on edge-1 0.751 s, then small on device-1 0.751 s"
        assert status.phase == "Complete"

    def test_a_picture_of_an_attempt_that_was_given_up_completes_the_job_all_the_same(self) -> None:
        """It was stored in the moment at which its job was suspended."""
        before = make.scheduled(make.record())
        status = said(driving.concluded(driving.suspended(before), make.job_done(before)))
        assert gist(status)["Complete"] == ("True", "Completed")
        assert gist(status)["Scheduled"] == ("True", "Scheduled")
        assert gist(status)["HeadDone"] == gist(status)["TailDone"] == ("True", "Done")
        assert (status.decision, status.progress, status.phase) == (None, "2/2", "Complete")

    def test_a_cancelled_one_has_failed(self) -> None:
        status = said(make.cancelled(make.record()))
        assert gist(status) == {**ACCEPTED, "Scheduled": ("False", "Pending"), "Failed": ("True", "Cancelled")}
        assert status.phase == "Failed"

    @pytest.mark.parametrize(
        ("reason", "wanted", "message"),
        [
            *((reason, reason, "it broke") for reason in ("DeadLettered", "WorkerLost", "BackoffLimitExceeded")),
            ("ValueError", "StageFailed", "ValueError: it broke"),
        ],
    )
    def test_a_failed_one_says_why_in_a_word_of_the_list(self, reason: str, wanted: str, message: str) -> None:
        record = make.failed(make.scheduled(make.record()), reason)
        assert gist(said(record))["Failed"] == ("True", wanted)
        assert failure(record) == (JobReason(wanted), message)

    def test_a_failure_that_nobody_explained_is_one_of_a_stage(self) -> None:
        assert failure(make.record(state=JobState.FAILED)) == (JobReason.STAGE_FAILED, "")
        endless = Failure(reason="Strange", message="x" * 5000, attempt=1)
        status = said(make.record(state=JobState.FAILED, error=endless))
        failed = find(status.conditions, JobCondition.FAILED)
        assert failed is not None and len(failed.message) == 1024

    def test_every_condition_is_of_the_generation_that_was_looked_at(self) -> None:
        job = make.job(metadata=make.meta(generation=7))
        status = job_status(Observed(job=job, now=NOW, record=make.scheduled(make.record())), None)
        assert {condition.observed_generation for condition in status.conditions} == {7}
        assert status.observed_generation == 7


class TestFacts:
    def test_before_the_bus_knows_it_there_are_none(self) -> None:
        status = job_status(Observed(job=make.job(), now=NOW), Hindrance(JobReason.BUS_UNAVAILABLE, "away"))
        bare = RelayJobStatus(
            observed_generation=1, conditions=status.conditions, job_id=make.job().job_id, phase="Pending"
        )
        assert status == bare

    def test_the_decision_is_told_with_what_it_promised(self) -> None:
        decision = said(make.scheduled(make.record())).decision
        assert decision is not None
        assert (decision.id, decision.arm, decision.policy) == ("d1", make.RELAY.arm, "fixed")
        assert (decision.predicted.latency_seconds, decision.predicted.quality) == (1.235, 0.9)

    def test_words_of_a_scheduler_that_are_too_long_are_cut(self) -> None:
        """Else the status could never be written, and nobody would hear how the job ended."""
        endless = make.decision(id="d" * 99, arm="a" * 999, policy="p" * 99)
        record = driving.scheduled(make.record(), endless, NOW)
        decision = said(record).decision
        assert decision is not None
        assert (len(decision.id), len(decision.arm), len(decision.policy)) == (64, 256, 64)

    def test_each_stage_says_where_it_is_and_what_it_took(self) -> None:
        record = make.done(make.started(make.scheduled(make.record())))
        head, tail = said(record, nodes={"edge-1": "node-a"}).stages
        assert (head.worker, head.node, head.seconds, head.handoff_bytes) == ("edge-1", "node-a", 0.751, 4096)
        assert (head.member, head.tier, head.pool, head.steps, head.until_sigma) == ("large", "edge", "edge", 4, 1.0)
        assert (tail.worker, tail.node, tail.seconds, tail.until_sigma) == (None, None, None, None)

    def test_a_stage_bound_to_a_worker_names_it_before_it_starts(self) -> None:
        bound = make.RELAY.model_copy(
            update={"stages": (make.STAGES[0].model_copy(update={"worker": "edge-7"}), make.STAGES[1])}
        )
        assert said(make.scheduled(make.record(), bound)).stages[0].worker == "edge-7"

    def test_progress_counts_stages(self) -> None:
        record = make.scheduled(make.record())
        assert said(make.record()).progress is None
        assert said(record).progress == "0/2"
        assert said(make.done(make.started(record))).progress == "1/2"
        assert said(make.complete(record)).progress == "2/2"

    def test_a_result_is_referred_to_by_its_digest(self) -> None:
        status = said(make.complete(make.scheduled(make.record())))
        assert status.result is not None
        assert (status.result.digest, status.result.bytes) == (make.DIGEST, 10)
        assert [(image.width, image.height, image.frames) for image in status.result.images] == [(8, 8, 1)]
        assert status.bytes_handed_over == 4096

    def test_times_are_from_acceptance_to_the_end(self) -> None:
        status = said(make.complete(make.started(make.scheduled(make.record()))))
        assert (status.start_time, status.completion_time) == (rfc3339(NOW + 2), rfc3339(NOW + 5))
        assert status.seconds == 5.0
        running = said(make.started(make.scheduled(make.record())))
        assert (running.completion_time, running.seconds) == (None, None)

    def test_an_end_before_the_start_by_another_clock_took_no_time(self) -> None:
        record = make.cancelled(make.record(request=make.record().request.model_copy(update={"accepted_at": NOW + 99})))
        assert said(record).seconds == 0.0
