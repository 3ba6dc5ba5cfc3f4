"""The story of a job, as events."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from rise_contracts.records import Waiting
from rise_contracts.status import JobReason, RelayJobStatus
from rise_operator.api import EVENTS, ApiError, Kind, Object
from rise_operator.jobs.observed import Hindrance, Observed
from rise_operator.jobs.status import job_status
from rise_operator.recorder import MOST_WAITING, Recorder, Told, story
from rise_runtime import plan as driving
from tests.unit.operator import builders as make
from tests.unit.operator.api import Memory
from tests.unit.operator.builders import NOW

NEW = RelayJobStatus()


def said(record: Any, before: RelayJobStatus = NEW, hindrance: Hindrance | None = None) -> RelayJobStatus:
    return job_status(Observed(job=make.job(before), now=NOW, record=record), hindrance)


def told(*statuses: RelayJobStatus) -> list[tuple[str, str]]:
    """All that is told on the way through these statuses."""
    events = [event for before, after in itertools.pairwise(statuses) for event in story(before, after)]
    return [(event.type, event.reason) for event in events]


def test_a_job_that_goes_well_has_two_events() -> None:
    record = make.record()
    statuses = [NEW, said(record)]
    for happen in (make.scheduled, make.started, make.done, lambda r: make.started(r, 1), make.complete):
        record = happen(record)
        statuses.append(said(record, statuses[-1]))
    assert told(*statuses) == [("Normal", "Scheduled"), ("Normal", "Completed")]
    first, last = story(NEW, said(make.scheduled(make.record()))), story(statuses[-2], statuses[-1])
    assert first[0].message == "large:4@1+small:4 (large in pool edge then small in pool device), about 1.24 s"
    assert last[0].message == "large on edge-1 0.751 s, then small on device-1 0.751 s (5 s in all)"


def test_statuses_that_were_never_written_cost_no_event() -> None:
    over = said(make.complete(make.scheduled(make.record())))
    assert told(NEW, over) == [("Normal", "Scheduled"), ("Normal", "Completed")]


def test_what_was_told_is_not_told_again() -> None:
    for status in (said(make.scheduled(make.record())), said(make.failed(make.record()))):
        assert story(status, status) == []


def test_a_job_that_waits_for_something_a_person_can_change_warns_once_for_each_reason() -> None:
    missing = said(None, hindrance=Hindrance(JobReason.FAMILY_NOT_FOUND, "there is none"))
    again = said(None, missing, Hindrance(JobReason.FAMILY_NOT_FOUND, "there is still none"))
    nobody = said(driving.waiting(make.record(), Waiting.NO_CONFIGURATION, "no edge worker"), again)
    assert told(NEW, missing, again, nobody) == [("Warning", "FamilyNotFound"), ("Warning", "NoConfiguration")]


def test_waiting_in_a_queue_is_nothing_to_warn_of() -> None:
    assert told(NEW, said(make.record()), said(driving.waiting(make.record(), Waiting.ACCEPTED, ""))) == []


def test_a_second_attempt_is_told_as_such() -> None:
    first = said(make.scheduled(make.record()))
    second = said(make.scheduled(make.record(attempt=2)).model_copy(update={"decision": make.decision(id="d2")}), first)
    (event,) = story(first, second)
    assert (event.again, event.message[:11]) == (2, "attempt 2: ")


def test_to_be_put_aside_and_to_go_on_is_told() -> None:
    running = said(make.started(make.scheduled(make.record())))
    asleep = said(driving.suspended(make.scheduled(make.record())), running)
    awake = said(make.record(attempt=2), asleep)
    assert told(running, asleep, awake) == [("Normal", "Suspended"), ("Normal", "Resumed")]


def test_an_end_without_a_picture_is_a_warning_with_its_reason() -> None:
    assert told(NEW, said(make.failed(make.record(), "WorkerLost"))) == [("Warning", "WorkerLost")]
    assert told(NEW, said(make.cancelled(make.record()))) == [("Warning", "Cancelled")]


class Events(Memory):
    """An API server that takes events, but for those it has been told not to."""

    def __init__(self, refuse: int = 0) -> None:
        super().__init__()
        self.refuse = refuse
        self.tried = 0
        self.changed = asyncio.Event()

    async def create(self, kind: Kind, namespace: str | None, body: Object) -> Object:
        self.tried += 1
        self.changed.set()
        if self.tried <= self.refuse:
            raise ApiError("post", 403, "Forbidden", "the namespace is being deleted")
        return await super().create(kind, namespace, body)


async def written(recorder: Recorder, api: Events, tries: int) -> list[Object]:
    """The events that the API server has once it was asked so often."""
    running = asyncio.ensure_future(recorder.run())
    async with asyncio.timeout(30):
        while api.tried < tries:
            api.changed.clear()
            await api.changed.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return [body for (kind, _, _), body in api.objects.items() if kind == EVENTS]


async def test_the_same_event_has_the_same_name_whoever_tells_it() -> None:
    """So that a new leader that tells it again is refused, and nothing is told twice."""
    api, meta = Events(), make.job().meta
    one, other = Recorder(api, "one"), Recorder(api, "other")
    for recorder in (one, other):
        recorder.tell("RelayJob", "rise-relay.io/v1alpha1", meta, Told("Normal", "Scheduled", "as large:4", 1))
    await written(one, api, 1)
    events = await written(other, api, 2)
    assert [event["source"]["host"] for event in events] == ["one"]
    assert events[0]["involvedObject"]["uid"] == make.UID
    other.tell("RelayJob", "rise-relay.io/v1alpha1", meta, Told("Normal", "Scheduled", "as large:4", 2))
    assert len(await written(other, api, 3)) == 2


async def test_one_that_is_refused_does_not_keep_the_next_from_being_told() -> None:
    api = Events(refuse=1)
    recorder = Recorder(api, "one")
    for reason in ("Scheduled", "Completed"):
        recorder.tell("RelayJob", "v", make.job().meta, Told("Normal", reason, "x" * 5000))
    events = await written(recorder, api, 2)
    assert len(events) == 1
    assert len(events[0]["message"]) == 1024


async def test_when_too_many_wait_the_rest_is_left_out() -> None:
    api = Events()
    recorder = Recorder(api, "one")
    for number in range(MOST_WAITING + 1):
        recorder.tell("RelayJob", "v", make.job().meta, Told("Normal", "Scheduled", f"{number}"))
    assert len(await written(recorder, api, MOST_WAITING)) == MOST_WAITING
