"""Each lie that a device can tell of a job, beside the truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from rise_contracts import errors, messages
from rise_contracts.records import JobRecord
from rise_runtime import inspection, plan
from rise_runtime.inspection import OfferRefused
from tests.handoffs import header
from tests.pictures import WIDTH, picture
from tests.unit.runtime import records

PNG = picture(bytes(64))
POOL, WORKER = "device", "device-1"


def running(**spec: Any) -> JobRecord:
    """The head is done, and the tail has begun."""
    record = records.scheduled(**spec)
    for event in (records.started(), records.stage_done(), records.started(1)):
        record = plan.applied(record, event)
    return record


def result(payload: bytes = PNG, **changes: Any) -> messages.JobDone:
    digest = hashlib.sha256(payload).hexdigest()
    image = messages.ImageRef(nbytes=len(payload), sha256=digest, width=WIDTH, height=2)
    done = records.job_done().model_copy(
        update={
            "digest": digest,
            "nbytes": len(payload),
            "images": (image,),
            "payload": messages.PayloadRef(kind="inline", nbytes=len(payload), sha256=digest),
        }
    )
    return done.model_copy(update=changes)


def checked(done: messages.JobDone, payload: bytes = PNG, record: JobRecord | None = None) -> messages.JobDone:
    return inspection.check_result(done, payload, record or running(), POOL, WORKER)


def test_a_true_result_is_taken() -> None:
    assert checked(result()) == result()


def test_what_a_device_says_of_the_stages_before_its_own_is_not_believed() -> None:
    told = records.report(0).model_copy(update={"seconds": 1e6, "worker": "edge-9"})
    done = checked(result(stages=(told, records.report(1))))
    assert done.stages == (records.report(0), records.report(1))


def test_a_stage_whose_own_report_is_still_under_way_is_taken_from_the_device() -> None:
    early = plan.applied(records.scheduled(), records.started())
    assert checked(result(), record=early).stages == (records.report(0), records.report(1))


def _report(**changes: Any) -> messages.StageReport:
    return records.report(1).model_copy(update=changes)


def _image(**changes: Any) -> tuple[messages.ImageRef, ...]:
    return (result().images[0].model_copy(update=changes),)


LIES: dict[str, dict[str, Any]] = {
    "another worker": {"worker": "device-2"},
    "another arm": {"arm": "large:20"},
    "another seed": {"seed": 2},
    "a later attempt": {"attempt": 2},
    "another digest": {"digest": "b" * 64},
    "another size": {"nbytes": len(PNG) + 1},
    "no report of the head": {"stages": (records.report(1),)},
    "the head's report twice": {"stages": (records.report(0), records.report(0))},
    "a report of another member": {"stages": (records.report(0), _report(member="large"))},
    "a report of another tier": {"stages": (records.report(0), _report(tier="edge"))},
    "a report of another worker": {"stages": (records.report(0), _report(worker="device-2"))},
    "more steps than asked": {"stages": (records.report(0), _report(steps=5))},
    "two pictures": {"images": result().images * 2},
    "a picture's digest": {"images": _image(sha256="c" * 64)},
    "a picture that is longer": {"images": _image(nbytes=len(PNG) + 1)},
    "a picture that is shorter": {"images": _image(nbytes=len(PNG) - 1)},
    "another width": {"images": _image(width=WIDTH + 8)},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_result_with_a_lie_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises((OfferRefused, errors.InvalidInput)):
        checked(result(**lie))


@pytest.mark.parametrize("payload", [b"", b"no picture", PNG[:-1], PNG + b"x"])
def test_what_is_no_picture_is_refused_though_its_digests_are_true(payload: bytes) -> None:
    with pytest.raises((OfferRefused, errors.InvalidInput)):
        checked(result(payload or b"x"), payload)


def test_the_size_that_was_asked_for_counts() -> None:
    with pytest.raises(OfferRefused, match="pictures of"):
        checked(result(), record=running(width=64, height=64))


def test_a_stage_of_another_lane_is_refused() -> None:
    with pytest.raises(OfferRefused, match=r"which is of device\.any"):
        inspection.check_result(result(), PNG, running(), "phones", WORKER)


def test_a_stage_that_is_bound_to_another_worker_is_refused() -> None:
    decision = records.DECISION
    head, tail = decision.configuration.stages
    bound = decision.configuration.model_copy(update={"stages": (head, tail.model_copy(update={"worker": "device-7"}))})
    record = running().model_copy(update={"decision": decision.model_copy(update={"configuration": bound})})
    with pytest.raises(OfferRefused, match=r"device\.device-7"):
        checked(result(), record=record)


Change = Callable[[messages.StageStarted], messages.Event]
EVENTS: dict[str, Change] = {
    "another's name": lambda event: event.model_copy(update={"worker": "edge-1"}),
    "the edge's stage": lambda event: event.model_copy(update={"stage": 0}),
    "no stage": lambda event: event.model_copy(update={"stage": 5}),
    "a later attempt": lambda event: event.model_copy(update={"attempt": 2}),
    "an ending": lambda _: records.JOB_FAILED,
    "a cancellation": lambda _: records.JOB_CANCELLED,
    "a report of another": lambda _: records.stage_done(1).model_copy(update={"report": records.report(0)}),
    "a speech": lambda event: messages.StageFailed(
        job_id="job-1", attempt=1, at=event.at, stage=1, worker=WORKER, reason="x", message="y" * 3000, retriable=True
    ),
}


def test_true_events_are_taken() -> None:
    inspection.check_event(records.started(1), running(), POOL, WORKER)
    inspection.check_event(records.stage_done(1), running(), POOL, WORKER)


@pytest.mark.parametrize("change", EVENTS.values(), ids=EVENTS)
def test_an_event_with_a_lie_is_refused(change: Change) -> None:
    with pytest.raises(OfferRefused):
        inspection.check_event(change(records.started(1)), running(), POOL, WORKER)


def a_task(record: JobRecord, payload: bytes, **changes: Any) -> messages.StageTask:
    """What the worker of stage 0 gives to stage 1."""
    task = messages.StageTask(
        job_id="job-1",
        attempt=1,
        stage_index=1,
        request=record.request,
        configuration=records.RELAY,
        handoff=header("job-1", payload),
        done=(records.report(0),),
    )
    return task.model_copy(update=changes)


def test_a_true_task_is_taken_and_others_are_refused() -> None:
    record = plan.applied(records.scheduled(), records.started())
    task = a_task(record, b"latent")
    inspection.check_task(task, b"latent", record, "edge", "edge-1")
    other = record.request.model_copy(update={"seed": 5})
    assert task.handoff is not None
    for change in (
        {"request": other},
        {"configuration": records.RELAY.model_copy(update={"arm": "large:20"})},
        {"stage_index": 0},
        {"handoff": None},
        {"handoff": task.handoff.model_copy(update={"job": "job-2"})},
        {"done": ()},
        {"attempt": 2},
    ):
        with pytest.raises(OfferRefused):
            inspection.check_task(task.model_copy(update=change), b"latent", record, "edge", "edge-1")
    with pytest.raises(errors.HandoffRefused):
        inspection.check_task(task, b"another", record, "edge", "edge-1")
    with pytest.raises(OfferRefused):
        inspection.check_task(task, b"latent", record, "device", "device-1")


def test_what_is_late_is_no_lie_and_what_is_early_may_be_true() -> None:
    record = running()
    second = record.model_copy(update={"attempt": 2})
    ended = plan.concluded(record, records.JOB_CANCELLED)
    assert [inspection.is_late(one, 1) for one in (None, record, second, ended)] == [True, False, True, True]
    assert inspection.is_early(record, 2)
    assert inspection.is_early(records.pending(), 1)
    assert not inspection.is_early(record, 1)
