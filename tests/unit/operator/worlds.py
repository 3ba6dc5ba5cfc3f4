"""Worlds that a job may find itself in, drawn by hypothesis, and what becomes of one when it is written to."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from rise_contracts.messages import Decision
from rise_contracts.records import Failure, JobRecord, Waiting
from rise_contracts.resources import RelayJobSpec
from rise_contracts.status import JobReason, RelayJobStatus
from rise_operator.api import Object
from rise_operator.jobs.observed import Hindrance, Observed
from rise_operator.jobs.plan import plan_job
from rise_operator.seen import SeenJob
from rise_runtime import plan as driving
from tests.unit.operator import builders as make
from tests.unit.operator.builders import NOW

TEXTS = st.sampled_from(["", "no server answers", "two\nlines", "x" * 3000, "ü" * 1500])


def _decisions() -> st.SearchStrategy[Decision]:
    """What a scheduler may answer, long words among them."""
    words = st.sampled_from(["d1", "w" * 999])
    arms = st.sampled_from([make.RELAY, make.ALONE])
    return st.builds(
        lambda arm, word, latency: make.decision(
            arm, id=word, arm=word, policy=word, predictions=make.decision().predictions.model_copy(
                update={"latency_s": latency})
        ),
        arms, words, st.none() | st.floats(0, 1e9),
    )  # fmt: skip


def _retried(record: JobRecord, failure: Failure) -> JobRecord:
    action = driving.failed(record, failure.model_copy(update={"attempt": record.attempt}), NOW + 3)
    return action.record if isinstance(action, driving.Retry) else record


def _events() -> st.SearchStrategy[Callable[[JobRecord], JobRecord]]:
    """What may happen to a record."""

    def step(function: Callable[..., JobRecord], *arguments: Any) -> Callable[[JobRecord], JobRecord]:
        return lambda record: record if record.finished else function(record, *arguments)

    def at_work(function: Callable[..., JobRecord], stage: int) -> Callable[[JobRecord], JobRecord]:
        return step(lambda record: function(record, stage) if len(record.stages) > stage else record)

    reasons = st.one_of(st.sampled_from([*JobReason]), st.sampled_from(["ValueError", "E" * 200]))
    failures = st.builds(Failure, reason=reasons, message=TEXTS, attempt=st.just(1))
    return st.one_of(
        st.builds(lambda decision: step(driving.scheduled, decision, NOW + 1), _decisions()),
        st.builds(functools.partial(at_work, make.started), st.integers(0, 1)),
        st.builds(functools.partial(at_work, make.done), st.integers(0, 1)),
        st.builds(lambda waiting, text: step(driving.waiting, waiting, text), st.sampled_from([*Waiting]), TEXTS),
        st.builds(lambda failure: step(_retried, failure), failures),
        st.just(step(driving.suspended)),
        st.just(step(driving.resumed, NOW + 4)),
        st.just(step(make.complete)),
        st.just(step(make.cancelled)),
        st.builds(lambda reason, text: step(make.failed, reason, text), reasons, TEXTS),
    )


_SEVERAL = st.lists(_events(), max_size=6)
_BOOLEAN = st.booleans()


@st.composite
def _records(draw: st.DrawFn, job: SeenJob) -> JobRecord:
    """The record of this job after some of what may happen; sometimes that of a job with the same key."""
    spec = job.spec or RelayJobSpec(prompt="a red circle")
    spec = spec.model_copy(update={"suspend": draw(_BOOLEAN)})
    if spec.idempotency_key is not None and draw(_BOOLEAN):
        spec = spec.model_copy(update={"prompt": "a blue square"})
    record = make.record(spec, job.job_id)
    for happen in draw(_SEVERAL):
        record = happen(record)
    return record


def _specs() -> st.SearchStrategy[Object]:
    sometimes: dict[str, st.SearchStrategy[Any]] = {
        "suspend": st.booleans(),
        "placement": st.just("Dedicated"),
        "startDeadlineSeconds": st.sampled_from([1, 60]),
        "ttlSecondsAfterFinished": st.sampled_from([0, 60]),
        "idempotencyKey": st.sampled_from(["order-1", "k" * 128]),
        "managedBy": st.sampled_from(["rise-relay.io/operator", "example.com/other"]),
        "images": st.sampled_from([2, 99]),
    }
    return st.fixed_dictionaries({}, optional=sometimes)


def _hindrances() -> st.SearchStrategy[Hindrance | None]:
    reasons = st.sampled_from([JobReason.FAMILY_NOT_FOUND, JobReason.FAMILY_REFUSED])
    return st.none() | st.builds(Hindrance, reasons, TEXTS)


_SPEC, _HINDRANCE, _BUS = _specs(), _hindrances(), st.just("") | TEXTS
_NAME, _GENERATION = st.sampled_from(["job", "n" * 63]), st.integers(0, 5)
_LATER = st.sampled_from([0.0, 0.5, 61.0, 1e6])
_NODE = st.sampled_from(["node-1", "n" * 253])
_RARELY = st.integers(0, 9).map(lambda number: number == 0)


@st.composite
def worlds(draw: st.DrawFn, *, past: bool = True) -> Observed:
    """A job, as new or with a status that was written in another world, and all that bears upon it."""
    spec = draw(_SPEC)
    metadata = make.meta(draw(_NAME), generation=draw(_GENERATION))
    if draw(_RARELY):
        metadata["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    status: RelayJobStatus | None = None
    if past and draw(_BOOLEAN):
        before = draw(worlds(past=False))
        status = plan_job(before).status
    job = make.job(status, metadata=metadata, **spec)
    twin = make.job(metadata=make.meta("twin", uid="another"), **spec)
    pods = [make.job_pod(tier, ready=draw(_BOOLEAN)) for tier in ("edge", "device") if draw(_BOOLEAN)]
    return Observed(
        job=job,
        now=NOW + draw(_LATER),
        record=draw(_records(job)) if draw(_BOOLEAN) else None,
        read=not draw(_RARELY),
        others=(twin,) if draw(_BOOLEAN) else (),
        missing=draw(_HINDRANCE),
        bus=draw(_BUS),
        templates=(make.pool("edge"), make.pool("device", tier="device")) if draw(_BOOLEAN) else (),
        pods=tuple(pods),
        nodes={"edge-1": draw(_NODE)},
        controller="us",
    )


def merged_patch(target: Any, patch: Any) -> Any:
    """What a JSON merge patch makes of an object (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    made = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merged_patch(made.get(key), value)
    return made
