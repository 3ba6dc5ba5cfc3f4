"""A job, its record and an operator that hears of both late, twice, or not at all: it ends once, in one way.

The model has the truth of the API server and of the bus, and what the operator believes of them. The plan is that of
the operator, the driver's that of the runtime; both may die between any two of their acts.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rise_contracts.records import Failure, JobRecord, JobState
from rise_contracts.status import JobReason, RelayJobStatus
from rise_operator import seen
from rise_operator.api import Object
from rise_operator.jobs.observed import Hindrance, Observed
from rise_operator.jobs.plan import Action, Cancel, Delete, Forget, Plan, SetSuspend, Submit, plan_job
from rise_operator.statuses import patch_of
from rise_runtime import plan as driving
from tests.unit.operator import builders as make
from tests.unit.operator.builders import NOW
from tests.unit.operator.worlds import merged_patch

MISSING = Hindrance(JobReason.FAMILY_NOT_FOUND, "there is no ModelFamily 'rise-shapes'")
FINAL = ("Complete", "Failed")


class Relay(RuleBasedStateMachine):
    """`bodies` are all the revisions of the RelayJob, `records` all those of its record; the last one is the truth."""

    @initialize(suspend=st.booleans(), deadlines=st.booleans(), limit=st.integers(0, 2))
    def create(self, suspend: bool, deadlines: bool, limit: int) -> None:
        times = {"startDeadlineSeconds": 60, "activeDeadlineSeconds": 60} if deadlines else {}
        spec = {"prompt": "a red circle", "suspend": suspend, "backoffLimit": limit, **times}
        self.now = NOW
        self.bodies: list[Object] = [{"metadata": make.meta(resourceVersion="0"), "spec": spec}]
        self.records: list[JobRecord | None] = [None]
        self.body, self.record = self.bodies[0], self.records[0]
        self.bus = self.family = True
        self.gone = False
        self.told: RelayJobStatus | None = None
        self.results = 0
        self.heard = False

    # The truth, and how it is changed

    def write(self, **parts: Any) -> None:
        body = {**self.bodies[-1], **parts}
        body["metadata"] = {**body["metadata"], "resourceVersion": str(len(self.bodies))}
        self.bodies.append(body)

    def store(self, record: JobRecord | None) -> None:
        if record != self.records[-1]:
            self.records.append(record)

    def status(self) -> RelayJobStatus:
        return RelayJobStatus.model_validate(self.bodies[-1].get("status", {}))

    @rule(suspend=st.booleans())
    def the_user_suspends_or_resumes(self, suspend: bool) -> None:
        body = self.bodies[-1]
        generation = body["metadata"]["generation"] + 1
        self.write(spec={**body["spec"], "suspend": suspend}, metadata={**body["metadata"], "generation": generation})

    @rule(seconds=st.sampled_from([1.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def somebody_cancels_over_the_bus(self) -> None:
        record = self.records[-1]
        if record is not None and not record.finished:
            self.store(make.cancelled(record))

    # What the operator hears: any revision, in any order, as often as it comes

    @rule(back=st.integers(0, 3))
    def the_operator_hears_of_the_job(self, back: int) -> None:
        self.body = self.bodies[max(0, len(self.bodies) - 1 - back)]

    @rule(back=st.integers(0, 3))
    def the_operator_hears_of_the_record(self, back: int) -> None:
        self.record = self.records[max(0, len(self.records) - 1 - back)]

    @rule()
    def the_operator_hears_of_all(self) -> None:
        self.body, self.record = self.bodies[-1], self.records[-1]

    @rule(bus=st.booleans(), family=st.booleans())
    def a_new_operator_takes_over(self, bus: bool, family: bool) -> None:
        """The bus has not told it anything yet, if it is there at all."""
        self.body, self.record = self.bodies[-1], None
        self.bus, self.family = bus, family

    # What the operator does

    def plan(self) -> Plan:
        bus, missing = "" if self.bus else "no server answers", None if self.family else MISSING
        seen_now = Observed(seen.job(self.body), self.now, self.record, missing=missing, bus=bus, controller="us")
        return plan_job(seen_now)

    @rule()
    def the_operator_looks(self) -> None:
        self.look(acts=9)

    @rule(acts=st.integers(0, 1))
    def the_operator_dies_while_it_looks(self, acts: int) -> None:
        self.look(acts)
        self.body, self.record = self.bodies[-1], None

    def look(self, acts: int) -> None:
        """Carry out the first `acts` of the plan; the status is the last one."""
        plan = self.plan()
        for action in plan.actions[:acts]:
            if not self.bus and isinstance(action, Submit | SetSuspend | Cancel | Forget):
                return
            self.act(action)
        if acts > len(plan.actions) and plan.status is not None:
            self.tell(plan.status)

    def act(self, action: Action) -> None:
        there = self.records[-1]
        match action:
            case Submit(request, since):
                self.store(there or JobRecord(request=request, resumed_at=since))
                self.record = self.records[-1]
            case SetSuspend(_, suspend) if there is not None and not there.finished:
                spec = there.request.spec.model_copy(update={"suspend": suspend})
                request = there.request.model_copy(update={"spec": spec})
                self.store(there.model_copy(update={"request": request}))
                self.record = self.records[-1]
            case Cancel() if there is not None and not there.finished:
                self.store(make.cancelled(there))
            case Forget():
                self.store(None)
            case Delete():
                self.gone = True

    def tell(self, status: RelayJobStatus) -> None:
        newest = self.bodies[-1]
        if self.body["metadata"]["resourceVersion"] == newest["metadata"]["resourceVersion"]:
            before = newest.get("status", {})
            patched = merged_patch(before, patch_of(status))
            self.heard = self.heard or "attempt" in patched
            if self.heard and status.phase in FINAL:
                there = self.records[-1]
                assert there is not None and there.finished, "it is told to be over, and goes on"
            if patched != before:
                self.write(status=patched)
        self.body = self.bodies[-1]

    # What driver and workers do

    @rule()
    def the_driver_looks(self) -> None:
        record = self.records[-1]
        if self.bus and record is not None:
            self.drive(record, driving.next_action(record, self.now))

    @rule()
    def a_worker_is_lost(self) -> None:
        record = self.records[-1]
        if self.bus and record is not None and record.decision is not None:
            broken = Failure(reason="WorkerLost", message="it is gone", attempt=record.attempt)
            self.drive(record, driving.failed(record, broken, self.now))

    def drive(self, record: JobRecord, action: driving.Action) -> None:
        match action:
            case driving.Ask():
                answer = make.decision(id=f"{record.attempt}")
                self.store(driving.scheduled(record, answer, self.now))
            case driving.Become(following) | driving.Withdraw(following) | driving.Retry(following, _):
                self.store(following)
            case driving.Fail(failure):
                self.store(make.failed(record, failure.reason, failure.message))
            case driving.Nothing() if record.decision is not None and not record.finished:
                self.work(record)

    def work(self, record: JobRecord) -> None:
        head, tail = record.stages[0], record.stages[-1]
        if head.started_at is None:
            self.store(make.started(record, 0))
        elif head.report is None:
            self.store(make.done(record, 0))
        elif tail.started_at is None:
            self.store(make.started(record, 1))
        else:
            self.store(make.complete(record))
            self.results += 1

    # What must hold, and what must come of it

    @invariant()
    def a_job_that_ended_stays_as_it_ended(self) -> None:
        if not hasattr(self, "bodies"):
            return
        status = self.status()
        if self.told is not None:
            assert status == self.told
        elif status.phase in FINAL:
            self.told = status
        ended = {c.type for c in status.conditions if c.status == "True"} & set(FINAL)
        assert ended == ({status.phase} & set(FINAL))

    @invariant()
    def it_is_complete_only_with_a_result(self) -> None:
        if hasattr(self, "bodies") and self.status().phase == "Complete":
            assert self.results == 1
            assert self.status().result is not None

    def teardown(self) -> None:
        """Once everybody is back and the job may run, it comes to an end, and its record with it."""
        if not hasattr(self, "bodies"):
            return
        self.bus = self.family = True
        self.the_user_suspends_or_resumes(False)
        for _ in range(40):
            self.the_operator_hears_of_all()
            self.the_operator_looks()
            self.the_driver_looks()
            self.now += 1
        assert self.status().phase in FINAL, self.status()
        self.a_job_that_ended_stays_as_it_ended()
        self.it_is_complete_only_with_a_result()
        record = self.records[-1]
        assert record is None or record.finished
        assert self.plan() == Plan(), "nothing is left to do"
        assert record is None or not self.heard or (record.state is JobState.COMPLETE) == (self.results == 1)
        self.goes_with_its_record()

    def goes_with_its_record(self) -> None:
        going = {**self.bodies[-1]["metadata"], "deletionTimestamp": "2027-01-15T08:00:00Z"}
        self.write(metadata=going)
        self.the_operator_hears_of_all()
        self.the_operator_looks()
        assert self.records[-1] is None


Relay.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestRelay = Relay.TestCase
