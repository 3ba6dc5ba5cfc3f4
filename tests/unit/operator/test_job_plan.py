"""What is done about a RelayJob, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rise_contracts.resources import RelayJobSpec
from rise_contracts.status import JobCondition, JobReason, RelayJobStatus
from rise_operator.conditions import find, rfc3339
from rise_operator.jobs.observed import Hindrance, Observed
from rise_operator.jobs.plan import (
    Action,
    Cancel,
    Delete,
    DropPod,
    Forget,
    MakePod,
    Plan,
    SetSuspend,
    Submit,
    plan_gone,
    plan_job,
)
from rise_operator.seen import SeenJob, SeenPod
from rise_operator.settings import CONTROLLER
from tests.unit.operator import builders as make
from tests.unit.operator.builders import NOW
from tests.unit.operator.planning import MISSING, reason, told, world

KEYED: dict[str, Any] = {"idempotencyKey": "order-1"}
DEDICATED: dict[str, Any] = {"placement": "Dedicated"}
THEIRS: dict[str, Any] = {"managedBy": "example.com/other"}


def final(status: RelayJobStatus | None = None, **spec: Any) -> SeenJob:
    """A job that failed at NOW + 5."""
    ended = make.failed(make.record(job_id="job-7"))
    over = told(plan_job(world(make.job(status, **spec), record=ended)))
    return make.job(over, **spec)


class TestBeforeTheBus:
    def test_a_new_job_is_submitted(self) -> None:
        plan = plan_job(world())
        (submit,) = plan.actions
        assert isinstance(submit, Submit)
        request = submit.request
        assert request.owner is not None
        assert (request.owner.uid, request.owner.controller) == (make.UID, "us")
        assert (request.accepted_at, request.job_id) == (NOW + 10, told(plan).job_id)
        assert reason(plan, JobCondition.ACCEPTED) == ("True", "Accepted")
        assert told(plan).phase == "Pending"

    def test_the_same_object_draws_the_same_seed_and_a_given_one_is_kept(self) -> None:
        def seed(job: SeenJob) -> int:
            (submit,) = plan_job(world(job)).actions
            assert isinstance(submit, Submit)
            return submit.request.seed

        assert seed(make.job()) == seed(make.job())
        assert seed(make.job()) != seed(make.job(metadata=make.meta(uid="another")))
        assert seed(make.job(seed=0)) == 0

    def test_the_time_to_live_is_the_objects_affair(self) -> None:
        (submit,) = plan_job(world(make.job(ttlSecondsAfterFinished=5))).actions
        assert isinstance(submit, Submit)
        assert submit.request.spec.ttl_seconds_after_finished is None

    @pytest.mark.parametrize(
        ("changes", "wanted"),
        [
            ({"missing": MISSING}, "FamilyNotFound"),
            ({"missing": Hindrance(JobReason.FAMILY_REFUSED, "no")}, "FamilyRefused"),
            ({"bus": "no NATS server answers"}, "BusUnavailable"),
            ({"bus": "no NATS server answers", "missing": MISSING}, "BusUnavailable"),
        ],
    )
    def test_what_stands_in_its_way_is_said_and_nothing_done(self, changes: dict[str, Any], wanted: str) -> None:
        plan = plan_job(world(**changes))
        assert plan.actions == ()
        assert reason(plan) == ("False", wanted)
        assert reason(plan, JobCondition.ACCEPTED) == ("True", "Accepted")
        assert told(plan).phase == "Pending"

    def test_a_job_that_makes_no_sense_fails_at_once(self) -> None:
        plan = plan_job(world(make.job(images=99)))
        assert plan.actions == ()
        assert reason(plan, JobCondition.FAILED) == ("True", "InvalidSpec")
        assert reason(plan, JobCondition.ACCEPTED) == ("False", "InvalidSpec")
        assert (told(plan).phase, told(plan).completion_time) == ("Failed", rfc3339(NOW + 10))
        assert told(plan).job_id is None

    def test_a_job_that_no_longer_makes_sense_is_still_known_by_its_id(self) -> None:
        """Its record goes on, and has to be found to be ended."""
        under_way = told(plan_job(world()))
        plan = plan_job(world(make.job(under_way, images=99)))
        assert told(plan).job_id == under_way.job_id
        over = make.job(told(plan), images=99)
        running = make.started(make.scheduled(make.record(job_id=over.job_id)))
        assert plan_job(world(over, record=running)).actions == (Cancel(over.job_id),)


class TestBeforeAllIsRead:
    """A new leader has the records of the bus one after another."""

    @pytest.mark.parametrize("spec", [{}, {"suspend": True}, {"images": 99}, DEDICATED])
    def test_a_job_whose_record_was_not_seen_yet_is_left_as_it_is(self, spec: dict[str, Any]) -> None:
        assert plan_job(world(make.job(**spec), read=False)) == Plan()

    def test_one_whose_record_was_seen_is_not_waited_with(self) -> None:
        seen = world(on_bus=True)
        assert plan_job(replace(seen, read=False)) == plan_job(seen)

    def test_that_the_bus_is_away_is_told(self) -> None:
        away = plan_job(world(read=False, bus="no NATS server answers"))
        assert reason(away) == ("False", "BusUnavailable")


class TestSuspension:
    def test_a_job_may_be_made_asleep(self) -> None:
        plan = plan_job(world(make.job(suspend=True)))
        assert plan.actions == ()
        assert reason(plan, JobCondition.SUSPENDED) == ("True", "Suspended")
        assert reason(plan) == ("False", "Suspended")
        assert told(plan).phase == "Suspended"

    def test_it_is_submitted_once_it_is_resumed(self) -> None:
        asleep = plan_job(world(make.job(suspend=True)))
        plan = plan_job(world(make.job(told(asleep))))
        assert isinstance(plan.actions[0], Submit)
        assert reason(plan, JobCondition.SUSPENDED) == ("False", "Resumed")

    @pytest.mark.parametrize("suspend", [True, False])
    def test_on_the_bus_it_is_told_to_the_driver(self, suspend: bool) -> None:
        spec = RelayJobSpec(prompt="a red circle", suspend=not suspend)
        job = make.job(suspend=suspend)
        plan = plan_job(world(job, record=make.record(spec, job.job_id)))
        assert plan.actions == (SetSuspend(job.job_id, suspend),)
        same = plan_job(world(job, record=make.record(spec.model_copy(update={"suspend": suspend}), job.job_id)))
        assert same.actions == ()

    def test_what_may_be_at_work_is_not_said_to_be_put_aside(self) -> None:
        """A new leader does not know what became of it while the bus is away."""
        job = make.job(told(plan_job(world(on_bus=True))), suspend=True)
        unseen = world(job, bus="no NATS server answers")
        assert find(told(plan_job(unseen)).conditions, JobCondition.SUSPENDED) is None
        assert reason(plan_job(unseen)) == ("False", "BusUnavailable")
        lost = plan_job(replace(unseen, bus=""))
        assert reason(lost, JobCondition.SUSPENDED) == ("True", "Suspended")
        still = plan_job(replace(unseen, job=make.job(told(lost), suspend=True)))
        assert told(still).phase == "Suspended", "nobody but the operator would have had it run again"

    def test_a_job_that_is_over_is_left_alone(self) -> None:
        job = make.job(suspend=True)
        plan = plan_job(world(job, record=make.complete(make.scheduled(make.record(job_id=job.job_id)))))
        assert plan.actions == ()
        assert told(plan).phase == "Complete"


class TestSharedKeys:
    def twin(self, status: RelayJobStatus | None = None, **spec: Any) -> SeenJob:
        return make.job(status, metadata=make.meta("twin", uid="another"), **KEYED, **spec)

    def test_both_are_the_same_job(self) -> None:
        one = world(make.job(**KEYED), on_bus=True)
        plan = plan_job(replace(one, job=self.twin(), others=(one.job,)))
        assert plan.actions == ()
        assert told(plan).job_id == one.job.job_id

    def test_it_is_put_aside_only_when_all_say_so(self) -> None:
        one = world(make.job(**KEYED), on_bus=True)
        asleep = replace(one, job=make.job(suspend=True, **KEYED))
        assert plan_job(replace(asleep, others=(self.twin(),))).actions == ()
        assert plan_job(replace(asleep, others=(self.twin(suspend=True),))).actions == (
            SetSuspend(one.job.job_id, True),
        )

    def test_each_may_have_it_run_again(self) -> None:
        one = world(make.job(**KEYED), on_bus=True)
        assert one.record is not None
        spec = one.record.request.spec.model_copy(update={"suspend": True})
        record = one.record.model_copy(update={"request": one.record.request.model_copy(update={"spec": spec})})
        plan = plan_job(replace(one, record=record, others=(self.twin(suspend=True),)))
        assert plan.actions == (SetSuspend(one.job.job_id, False),)
        sleeper = replace(one, record=record, job=self.twin(suspend=True), others=(one.job,))
        assert plan_job(sleeper).actions == (SetSuspend(one.job.job_id, False),), "whoever is looked at first says it"

    def test_who_wants_other_pictures_has_no_say(self) -> None:
        one = world(make.job(**KEYED), on_bus=True)
        asleep = replace(one, job=make.job(suspend=True, **KEYED))
        plan = plan_job(replace(asleep, others=(self.twin(seed=3),)))
        assert plan.actions == (SetSuspend(one.job.job_id, True),)

    def test_the_pictures_stay_while_another_has_them(self) -> None:
        one = world(make.job(**KEYED), on_bus=True)
        assert one.record is not None
        over = told(plan_job(replace(one, record=make.complete(make.scheduled(one.record)))))
        going = make.job(over, metadata=make.meta(deletionTimestamp=rfc3339(NOW)), **KEYED)
        for other in (self.twin(), self.twin(over)):
            assert plan_job(world(going, others=(other,))).actions == ()
        elsewhere = self.twin(managedBy="example.com/other")
        for others in ((), (elsewhere,)):
            assert plan_job(world(going, others=others)).actions == (Forget(one.job.job_id),)

    def test_another_spec_under_the_same_key_is_a_conflict_and_none_of_the_others_business(self) -> None:
        one = world(make.job(**KEYED), on_bus=True)
        plan = plan_job(replace(one, job=self.twin(prompt="a blue square"), others=(one.job,)))
        assert plan.actions == ()
        assert reason(plan, JobCondition.FAILED) == ("True", "IdempotencyConflict")
        assert reason(plan, JobCondition.ACCEPTED) == ("False", "IdempotencyConflict")
        failed = find(told(plan).conditions, JobCondition.FAILED)
        assert failed is not None and "'order-1'" in failed.message
        over = self.twin(told(plan), prompt="a blue square")
        assert over.job_id != one.job.job_id, "who loses his job must not end that of the other"

    @pytest.mark.parametrize("changes", [{"suspend": True}, {"ttlSecondsAfterFinished": 3}])
    def test_what_may_be_changed_is_no_conflict(self, changes: dict[str, Any]) -> None:
        one = world(make.job(**KEYED), on_bus=True)
        plan = plan_job(replace(one, job=make.job(**KEYED, **changes)))
        assert find(told(plan).conditions, JobCondition.FAILED) is None


class TestDedicated:
    EDGE, DEVICE = make.pool("edge"), make.pool("device", tier="device")
    BOTH = (EDGE, DEVICE)

    def on_bus(self) -> Observed:
        pods = (make.job_pod("edge"), make.job_pod("device"))
        return replace(world(make.job(**DEDICATED), on_bus=True, templates=self.BOTH, pods=pods), pods=())

    def actions(self, *pods: SeenPod, **spec: Any) -> tuple[Action, ...]:
        return plan_job(replace(self.on_bus(), job=make.job(**DEDICATED, **spec), pods=pods)).actions

    def test_without_a_pool_to_be_made_after_it_waits(self) -> None:
        plan = plan_job(world(make.job(**DEDICATED)))
        assert plan.actions == ()
        assert reason(plan) == ("False", "NoPool")
        assert reason(plan_job(world(make.job(**DEDICATED), missing=MISSING))) == ("False", "FamilyNotFound")

    def test_a_job_on_the_bus_gets_one_pod_of_each_tier(self) -> None:
        assert self.actions() == (MakePod(self.EDGE), MakePod(self.DEVICE))
        assert self.actions(make.job_pod("edge")) == (MakePod(self.DEVICE),)
        assert self.actions(make.job_pod("edge"), make.job_pod("device")) == ()

    def test_a_pod_that_goes_is_replaced(self) -> None:
        going = make.job_pod("edge", deletionTimestamp=rfc3339(NOW))
        assert self.actions(going, make.job_pod("device")) == (MakePod(self.EDGE),)

    def test_a_suspended_job_holds_no_pods(self) -> None:
        pods = (make.job_pod("edge"), make.job_pod("device"))
        suspend, *dropped = self.actions(*pods, suspend=True)
        assert isinstance(suspend, SetSuspend)
        assert dropped == [DropPod(pod) for pod in pods]
        never_ran = plan_job(world(make.job(suspend=True, **DEDICATED), pods=pods, templates=self.BOTH))
        assert never_ran.actions == tuple(dropped)

    @pytest.mark.parametrize("changes", [{"bus": "away"}, {"missing": MISSING}])
    def test_pods_stay_while_the_bus_cannot_be_asked_what_they_do(self, changes: dict[str, Any]) -> None:
        pods = (make.job_pod("edge"), make.job_pod("device"))
        assert plan_job(replace(self.on_bus(), record=None, pods=pods, **changes)).actions == ()

    def test_a_resumed_job_runs_once_its_pods_are_there_again(self) -> None:
        seen = self.on_bus()
        assert seen.record is not None
        asleep = make.job(suspend=True, **DEDICATED).spec
        assert asleep is not None
        request = seen.record.request.model_copy(update={"spec": asleep})
        record = seen.record.model_copy(update={"request": request})
        assert plan_job(replace(seen, record=record)).actions == (MakePod(self.EDGE), MakePod(self.DEVICE))
        pods = (make.job_pod("edge"), make.job_pod("device"))
        assert plan_job(replace(seen, record=record, pods=pods)).actions == (SetSuspend(record.job_id, suspend=False),)

    def test_a_job_that_is_over_gives_its_pods_back(self) -> None:
        pods = (make.job_pod("edge"), make.job_pod("device"))
        seen = self.on_bus()
        assert seen.record is not None
        over = make.complete(make.scheduled(seen.record))
        plan = plan_job(replace(seen, record=over, pods=pods))
        assert plan.actions == tuple(DropPod(pod) for pod in pods)
        ended = make.again(seen, told(plan), record=over, pods=pods)
        assert plan_job(ended).actions == tuple(DropPod(pod) for pod in pods), "and again, until they are gone"

    def test_a_job_is_not_put_on_the_bus_before_its_pods_are_ready(self) -> None:
        seen = world(make.job(**DEDICATED), templates=self.BOTH)
        assert plan_job(seen).actions == (MakePod(self.EDGE), MakePod(self.DEVICE))
        made = find(told(plan_job(seen)).conditions, JobCondition.SCHEDULED)
        assert made is not None and (made.reason, made.message) == ("PodsPending", "its pods are being made")
        some = replace(seen, pods=(make.job_pod("edge"), make.job_pod("device", ready=False)))
        waits = find(told(plan_job(some)).conditions, JobCondition.SCHEDULED)
        assert waits is not None and (waits.reason, waits.message) == ("PodsPending", "job-device: not ready yet")
        both = replace(seen, pods=(make.job_pod("edge"), make.job_pod("device")))
        assert [type(action) for action in plan_job(both).actions] == [Submit]
        assert reason(plan_job(both)) == ("False", "Pending")


class TestTheEnd:
    def test_what_is_over_is_not_written_again(self) -> None:
        assert plan_job(world(final())) == Plan()

    def test_a_record_that_goes_on_regardless_is_ended(self) -> None:
        job = final()
        running = make.started(make.scheduled(make.record(job_id=job.job_id)))
        assert plan_job(world(job, record=running)).actions == (Cancel(job.job_id),)
        shared = world(job, record=running, others=(make.job(metadata=make.meta("twin", uid="b")),))
        assert plan_job(shared).actions == ()
        assert plan_job(world(job, record=make.failed(running))).actions == ()

    def test_it_goes_when_its_time_to_live_is_over_and_not_before(self) -> None:
        job = final(ttlSecondsAfterFinished=60)
        waits = plan_job(world(job))
        assert (waits.actions, waits.again_s) == ((), 55)
        assert plan_job(world(job, now=NOW + 64.5)).again_s == pytest.approx(0.5)
        assert plan_job(world(job, now=NOW + 65)) == Plan((Delete(),))
        assert plan_job(world(final(ttlSecondsAfterFinished=0))).actions == (Delete(),)

    def test_its_own_pods_go_before_it(self) -> None:
        pod = make.job_pod("edge")
        plan = plan_job(world(final(ttlSecondsAfterFinished=0), pods=(pod,)))
        assert plan.actions == (DropPod(pod), Delete())

    def test_one_that_is_being_deleted_takes_record_and_pods_along(self) -> None:
        going, pod = make.job(metadata=make.meta(deletionTimestamp=rfc3339(NOW))), make.job_pod("edge")
        plan = plan_job(world(going, pods=(pod,)))
        assert plan == Plan((DropPod(pod), Forget(going.job_id)))
        assert plan_gone(going.job_id) == Plan((Forget(going.job_id),))


class TestOtherControllers:
    def test_their_jobs_are_left_alone(self) -> None:
        assert plan_job(world(make.job(**THEIRS))) == Plan()
        going = make.meta(deletionTimestamp=rfc3339(NOW))
        assert plan_job(world(make.job(metadata=going, **THEIRS))) == Plan()

    def test_their_finished_jobs_too(self) -> None:
        over = told(plan_job(world(record=make.failed(make.record()))))
        theirs = make.job(over, ttlSecondsAfterFinished=0, **THEIRS)
        assert theirs.finished
        assert plan_job(world(theirs, pods=(make.job_pod("edge"),), record=make.record())) == Plan()

    def test_our_own_name_is_ours(self) -> None:
        assert isinstance(plan_job(world(make.job(managedBy=CONTROLLER))).actions[0], Submit)
