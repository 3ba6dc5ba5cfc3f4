"""What holds of the plan for a RelayJob in every world."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from rise_contracts.status import (
    DecisionStatus,
    JobCondition,
    JobReason,
    PredictionStatus,
    RelayJobStatus,
    StageRun,
)
from rise_operator import seen
from rise_operator.jobs.observed import Observed
from rise_operator.jobs.plan import Cancel, Delete, DropPod, Forget, MakePod, SetSuspend, Submit, plan_job
from rise_operator.recorder import story
from rise_operator.statuses import patch_of
from tests.unit.operator import builders as make
from tests.unit.operator.worlds import merged_patch, worlds


def planned(world: Observed) -> RelayJobStatus:
    status = plan_job(world).status
    assume(status is not None)
    assert status is not None
    return status


def seen_again(world: Observed, status: RelayJobStatus) -> Observed:
    """The same world after the status was written."""
    job, spec = world.job, world.job.spec
    body = make.job_body(make.written(status), metadata=make.meta(job.meta.name, generation=job.meta.generation))
    body["spec"] = {"images": 99} if spec is None else spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return replace(world, job=seen.job(body))


def true(status: RelayJobStatus) -> set[str]:
    return {condition.type for condition in status.conditions if condition.status == "True"}


@given(worlds())
def test_a_job_that_is_over_is_never_begun_again_nor_told_of_anew(world: Observed) -> None:
    plan = plan_job(world)
    if world.job.finished:
        assert plan.status is None
        assert all(isinstance(action, DropPod | Cancel | Delete | Forget) for action in plan.actions)
    if world.record is not None and world.record.finished:
        assert not any(isinstance(action, Submit | SetSuspend | MakePod | Cancel) for action in plan.actions)


@given(worlds())
def test_a_job_is_submitted_only_where_nothing_speaks_against_it(world: Observed) -> None:
    for action in plan_job(world).actions:
        if isinstance(action, Submit):
            spec = world.job.spec
            assert world.record is None and world.missing is None and not world.bus
            assert spec is not None and not spec.suspend
            assert not world.job.meta.deleting and not world.job.finished
            assert spec.managed_by != "example.com/other"
            assert action.request.job_id == world.job.job_id


@given(worlds())
def test_at_most_one_of_complete_and_failed_is_true_and_the_phase_says_which(world: Observed) -> None:
    status = planned(world)
    ended = true(status) & {"Complete", "Failed"}
    assert len(ended) <= 1
    assert (status.phase in ("Complete", "Failed")) == bool(ended)
    assert (status.completion_time is not None) == bool(ended)
    if ended:
        assert {status.phase} == ended
        assert "Suspended" not in true(status)
    assert (status.phase == "Suspended") == ("Suspended" in true(status))


@given(worlds())
def test_a_final_status_leads_to_no_other(world: Observed) -> None:
    status = planned(world)
    assume(status.phase in ("Complete", "Failed"))
    after = seen_again(world, status)
    assert after.job.finished
    for record in (world.record, None, make.record(), make.complete(make.record())):
        assert plan_job(replace(after, record=record, now=world.now + 1e6)).status is None


@given(worlds())
def test_planning_again_from_what_was_written_changes_nothing(world: Observed) -> None:
    status = planned(world)
    after = seen_again(world, status)
    if after.job.finished:
        return
    again = plan_job(after).status
    assert again == status
    assert story(status, again) == []


@given(worlds())
def test_every_condition_is_one_of_the_list_with_a_reason_of_the_list(world: Observed) -> None:
    status = planned(world)
    order = [*JobCondition]
    names = [JobCondition(condition.type) for condition in status.conditions]
    assert names == sorted(set(names), key=order.index)
    for condition in status.conditions:
        assert JobReason(condition.reason)
        assert condition.observed_generation == status.observed_generation == world.job.meta.generation
    assert names[0] is JobCondition.ACCEPTED


@given(worlds())
def test_everything_in_a_status_is_within_its_bounds(world: Observed) -> None:
    """The API server refuses what is not, again and again, and the job's end would never be told."""
    status = planned(world)
    assert RelayJobStatus.model_validate(make.written(status)) == status


def statuses() -> st.SearchStrategy[RelayJobStatus]:
    """Statuses with parts that are there or not, down to the innermost."""
    number, run = st.none() | st.floats(0, 9), {"member": "large", "tier": "edge", "pool": "edge", "steps": 4}
    predicted = st.builds(PredictionStatus, latency_seconds=number, edge_seconds=number, quality=number)
    decision = st.builds(DecisionStatus, id=st.just("d"), arm=st.just("a"), policy=st.just("p"), predicted=predicted)
    stage = st.builds(lambda seconds, until: StageRun(**run, seconds=seconds, until_sigma=until), number, number)
    return st.builds(
        RelayJobStatus,
        conditions=worlds().map(lambda world: plan_job(world).status or RelayJobStatus()).map(lambda s: s.conditions),
        attempt=st.none() | st.integers(1, 3),
        decision=st.none() | decision,
        stages=st.lists(stage, max_size=2).map(tuple),
        seconds=number,
    )


@given(statuses(), statuses())
def test_the_patch_makes_any_older_status_the_new_one(before: RelayJobStatus, after: RelayJobStatus) -> None:
    patched = merged_patch(make.written(before), patch_of(after))
    assert RelayJobStatus.model_validate(patched) == after
    bare = {key: value for key, value in patched.items() if value not in ([], None)}
    assert bare == {key: value for key, value in make.written(after).items() if value != []}, "nothing old is left"


@given(worlds())
def test_pods_are_made_for_jobs_that_are_at_work_or_wait_for_them_alone(world: Observed) -> None:
    for action in plan_job(world).actions:
        if isinstance(action, MakePod):
            spec = world.job.spec
            assert spec is not None and spec.placement == "Dedicated" and not spec.suspend
            at_work = world.record is not None and not world.record.finished
            waits_for_them_alone = world.record is None and world.missing is None and not world.bus
            assert at_work or waits_for_them_alone


@given(worlds())
def test_when_to_look_again_is_later(world: Observed) -> None:
    again_s = plan_job(world).again_s
    assert again_s is None or again_s >= 0
