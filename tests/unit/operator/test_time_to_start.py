"""How long a job may wait before it starts: from its creation on, wherever it waits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rise_contracts.status import JobCondition
from rise_operator.conditions import find
from rise_operator.jobs.plan import Submit, plan_job
from rise_runtime import plan as driving
from tests.unit.operator import builders as make
from tests.unit.operator.builders import NOW
from tests.unit.operator.planning import MISSING, reason, told, world

TIMED: dict[str, Any] = {"startDeadlineSeconds": 60}


def test_a_job_that_waits_is_looked_at_when_its_time_is_over() -> None:
    plan = plan_job(world(make.job(**TIMED), bus="away"))
    assert plan.again_s == 50
    assert plan_job(world(bus="away")).again_s is None


def test_it_fails_with_what_it_waited_for() -> None:
    plan = plan_job(world(make.job(**TIMED), bus="no server answers", now=NOW + 60))
    assert reason(plan, JobCondition.FAILED) == ("True", "StartDeadlineExceeded")
    failed = find(told(plan).conditions, JobCondition.FAILED)
    assert failed is not None and "60 s" in failed.message
    assert "BusUnavailable no server answers" in failed.message
    assert reason(plan, JobCondition.ACCEPTED) == ("True", "Accepted")


def test_it_is_not_late_where_nothing_stands_in_its_way_any_more() -> None:
    assert isinstance(plan_job(world(make.job(**TIMED), now=NOW + 99)).actions[0], Submit)


def test_on_the_bus_it_counts_from_creation_too() -> None:
    """Ten seconds went by before the operator came to it."""
    record = world(make.job(**TIMED), on_bus=True).record
    assert record is not None
    assert driving.overdue(record, NOW + 60) is None
    late = driving.overdue(record, NOW + 60.1)
    assert late is not None and late.reason == "StartDeadlineExceeded"


def test_on_the_bus_it_counts_from_when_a_suspended_job_was_resumed() -> None:
    asleep = plan_job(world(make.job(suspend=True, **TIMED), now=NOW + 99))
    record = world(make.job(told(asleep), **TIMED), on_bus=True, now=NOW + 200).record
    assert record is not None
    assert driving.overdue(record, NOW + 260) is None
    assert driving.overdue(record, NOW + 260.1) is not None


def test_a_job_that_the_bus_has_lost_has_all_of_its_time_again() -> None:
    submitted = told(plan_job(world(make.job(**TIMED))))
    record = world(make.job(submitted, **TIMED), on_bus=True, now=NOW + 500).record
    assert record is not None
    assert driving.overdue(record, NOW + 560) is None


def test_a_job_that_was_on_the_bus_is_never_late_where_the_bus_cannot_be_asked() -> None:
    """A new leader finds the bus away, or has not heard of the records yet: the job may well be at work."""
    first = world(make.job(**TIMED), on_bus=True)
    submitted = told(plan_job(replace(first, record=None)))
    assert first.record is not None
    at_work = told(plan_job(replace(first, record=make.started(make.scheduled(first.record)))))
    for status in (submitted, at_work):
        for changes in ({"bus": "away"}, {"missing": MISSING}):
            later = plan_job(world(make.job(status, **TIMED), now=NOW + 99, **changes))
            assert find(told(later).conditions, JobCondition.FAILED) is None
            assert later.again_s is None
            assert told(later).attempt == 1, "or the next look would take it for new"
            assert told(later).decision == status.decision


def test_it_stands_still_while_suspended_and_begins_anew() -> None:
    asleep = plan_job(world(make.job(suspend=True, **TIMED), bus="away", now=NOW + 99))
    assert asleep.again_s is None
    woken = world(make.job(told(asleep), **TIMED), bus="away", now=NOW + 200)
    first = plan_job(woken)
    assert reason(first, JobCondition.SUSPENDED) == ("False", "Resumed")
    assert first.again_s == 60
    later = plan_job(make.again(woken, told(first), now=NOW + 259))
    assert later.again_s == 1
    late = plan_job(make.again(woken, told(later), now=NOW + 260))
    assert reason(late, JobCondition.FAILED) == ("True", "StartDeadlineExceeded")
