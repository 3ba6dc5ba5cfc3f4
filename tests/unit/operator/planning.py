"""A job in a world, and what the plan for it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rise_contracts.records import JobRecord
from rise_contracts.status import JobCondition, JobReason, RelayJobStatus
from rise_operator.conditions import find
from rise_operator.jobs.observed import Hindrance, Observed
from rise_operator.jobs.plan import Plan, Submit, plan_job
from rise_operator.seen import SeenJob
from tests.unit.operator import builders as make
from tests.unit.operator.builders import NOW

MISSING = Hindrance(JobReason.FAMILY_NOT_FOUND, "there is no ModelFamily 'tiny'; known: none")


def world(job: SeenJob | None = None, *, on_bus: bool = False, **changes: Any) -> Observed:
    """A job in a world where nothing stands in its way; `on_bus`: with the record that it was submitted with."""
    seen = replace(Observed(job=job or make.job(), now=NOW + 10, controller="us"), **changes)
    if not on_bus:
        return seen
    (submit,) = plan_job(seen).actions
    assert isinstance(submit, Submit)
    return replace(seen, record=JobRecord(request=submit.request, resumed_at=submit.since))


def told(plan: Plan) -> RelayJobStatus:
    assert plan.status is not None
    return plan.status


def reason(plan: Plan, name: JobCondition = JobCondition.SCHEDULED) -> tuple[str, str]:
    """What a condition says, and why."""
    condition = find(told(plan).conditions, name)
    assert condition is not None, f"{name} is not there"
    return condition.status, condition.reason
