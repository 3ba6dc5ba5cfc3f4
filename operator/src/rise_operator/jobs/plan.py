"""What to do about a RelayJob: a pure function of what is observed. Level-triggered: it does not matter what happened,
only how things are, so that a lost event costs no more than the time until the next look.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from rise_contracts.messages import JobRequest, Owner
from rise_contracts.resources import RelayJobSpec
from rise_contracts.status import JobCondition, JobReason, RelayJobStatus
from rise_operator.conditions import find, is_true
from rise_operator.jobs.observed import Hindrance, Observed
from rise_operator.jobs.status import job_status
from rise_operator.seen import SeenJob, SeenPod, SeenPool, timestamp
from rise_operator.settings import CONTROLLER

_NOT_OURS = "the job of this id on the bus is of another namespace; use another idempotencyKey, or another object"


@dataclass(frozen=True, slots=True)
class Submit:
    """Put the job on the bus, once however often this is done. Its time to start counts from `since`."""

    request: JobRequest
    since: float


@dataclass(frozen=True, slots=True)
class SetSuspend:
    """Tell the driver that the job is (not) to run."""

    job_id: str
    suspend: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the job on the bus, unless it has ended."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Cancel the job if it has not ended, then take its record and pictures off the bus."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the RelayJob itself: its time to live is over."""


@dataclass(frozen=True, slots=True)
class MakePod:
    """Make the pod of one tier for a job that wants pods of its own."""

    template: SeenPool


@dataclass(frozen=True, slots=True)
class DropPod:
    pod: SeenPod


Action = Submit | SetSuspend | Cancel | Forget | Delete | MakePod | DropPod


@dataclass(frozen=True, slots=True)
class Plan:
    """`status` None leaves it as it is; `again_s`: look again after so many seconds, whatever happens."""

    actions: tuple[Action, ...] = ()
    status: RelayJobStatus | None = None
    again_s: float | None = None


def plan_job(seen: Observed) -> Plan:
    """What to do, and what to write into the status."""
    spec = seen.job.spec
    if seen.job.managed_by not in (None, CONTROLLER):
        return Plan()
    if seen.job.meta.deleting:
        return plan_gone(seen.job.job_id, seen)
    if seen.job.finished:
        return _after_end(seen)
    if seen.record is not None and not _is_of_this_namespace(seen):
        return Plan((), job_status(seen, Hindrance(JobReason.IDEMPOTENCY_CONFLICT, _NOT_OURS, final=True)))
    if seen.record is not None and spec is not None:
        return _under_way(seen, spec)
    if not (seen.read or seen.bus):
        return Plan()  # one at work would be taken for one that the bus knows nothing of; it is looked at again then
    hindrance = _hindrance(seen)
    if hindrance is not None:
        waits_for_pods = hindrance.reason is JobReason.PODS_PENDING
        # Pods of a job that is only out of sight are at work on it.
        idle = hindrance.final or hindrance.reason is JobReason.SUSPENDED
        pods = _pods(seen, wanted=waits_for_pods) if waits_for_pods or idle else []
        return Plan(tuple(pods), job_status(seen, hindrance), again_s=_until_late(seen, spec))
    assert spec is not None
    # What was there before, and is there no more, has begun once: it is not late because the bus lost it.
    again = seen.job.status.attempt is not None
    return Plan((Submit(_request(seen, spec), seen.now if again else _waits_since(seen)),), job_status(seen, None))


def plan_gone(job_id: str, seen: Observed | None = None) -> Plan:
    """For a RelayJob that is not there any more, or about to be. The pictures stay while another one has them too."""
    pods = tuple(DropPod(pod) for pod in seen.pods) if seen is not None else ()
    shared = seen is not None and (bool(_others(seen)) or not _is_of_this_namespace(seen))
    return Plan(pods if shared else (*pods, Forget(job_id)))


def _under_way(seen: Observed, spec: RelayJobSpec) -> Plan:
    record = seen.record
    assert record is not None
    if not same_job(record.request.spec, spec):
        key = spec.idempotency_key
        text = f"idempotencyKey {key!r} belongs to a job with another spec; use another key, or the same spec"
        return Plan((), job_status(seen, Hindrance(JobReason.IDEMPOTENCY_CONFLICT, text, final=True)))
    actions: list[Action] = []
    suspend = spec.suspend and not _wanted_by_others(seen, spec)
    if record.request.spec.suspend and spec.placement == "Dedicated":
        suspend = suspend or _without_pods(seen, spec) is not None  # resumed once its pods are there again
    if not record.finished and record.request.spec.suspend != suspend:
        actions.append(SetSuspend(record.job_id, suspend))
    if spec.placement == "Dedicated":
        actions += _pods(seen, wanted=not record.finished and not spec.suspend)
    return Plan(tuple(actions), job_status(seen, None))


def _after_end(seen: Observed) -> Plan:
    """The status is final. What is left: a record that goes on regardless, pods, and the time to live."""
    job = seen.job
    actions: list[Action] = [DropPod(pod) for pod in seen.pods]
    goes_on = seen.record is not None and not seen.record.finished and _is_of_this_namespace(seen)
    if goes_on and all(other.finished for other in _others(seen)):
        actions.append(Cancel(job.job_id))
    if job.ttl_s is None or job.finished_at is None:
        return Plan(tuple(actions))
    left = job.finished_at + job.ttl_s - seen.now
    return Plan((*actions, Delete()) if left <= 0 else tuple(actions), again_s=max(0.0, left) or None)


def _hindrance(seen: Observed) -> Hindrance | None:
    """Why the job is not put on the bus now."""
    job, spec = seen.job, seen.job.spec
    if spec is None:
        return Hindrance(JobReason.INVALID_SPEC, job.problem, final=True)
    if spec.suspend and not _may_be_at_work(seen):
        return Hindrance(JobReason.SUSPENDED, "")
    blocked = seen.missing
    if seen.bus:
        blocked = Hindrance(JobReason.BUS_UNAVAILABLE, seen.bus)
    elif spec.placement == "Dedicated" and blocked is None:
        blocked = _without_pods(seen, spec)
    if blocked is not None and _until_late(seen, spec) == 0.0:
        text = (
            f"not started within {spec.start_deadline_seconds:g} s; it was waiting: {blocked.reason} {blocked.message}"
        )
        return Hindrance(JobReason.START_DEADLINE_EXCEEDED, text, final=True)
    return blocked


def _may_be_at_work(seen: Observed) -> bool:
    """Whether the job was on the bus, not put aside there, and the bus cannot be asked what became of it."""
    status = seen.job.status
    return bool(seen.bus) and status.attempt is not None and not is_true(status.conditions, JobCondition.SUSPENDED)


def _without_pods(seen: Observed, spec: RelayJobSpec) -> Hindrance | None:
    """Why a job that wants pods of its own has not got them. One that begins with some of them has no relay."""
    if not seen.templates:
        text = f"no StagePool of family {spec.family}: pods of a job's own are made after one of each tier"
        return Hindrance(JobReason.NO_POOL, text)
    ready = {pod.tier for pod in seen.pods if pod.ready}
    missing = {pool.spec.tier for pool in seen.templates if pool.spec is not None} - ready
    if not missing:
        return None
    unready = [pod for pod in seen.pods if not pod.ready]
    away = [f"{pod.meta.name}: {pod.trouble.text if pod.trouble else 'not ready yet'}" for pod in unready]
    return Hindrance(JobReason.PODS_PENDING, "; ".join(away) or "its pods are being made")


def _is_of_this_namespace(seen: Observed) -> bool:
    """Whether the record under this job's id was made for an object of the same namespace, as far as there is one: who
    could write a status could name any job of the bus there, and whoever has the bus could use any id."""
    owner = seen.record.request.owner if seen.record is not None else None
    return seen.record is None or (owner is not None and owner.namespace == seen.job.meta.namespace)


def _others(seen: Observed) -> list[SeenJob]:
    return [other for other in seen.others if other.managed_by in (None, CONTROLLER)]


def _wanted_by_others(seen: Observed, spec: RelayJobSpec) -> bool:
    """Whether somebody else waits for the same pictures. A job is put aside only when all who share it say so."""
    specs = [other.spec for other in _others(seen) if other.spec is not None]
    return any(same_job(one, spec) and not one.suspend for one in specs)


def _until_late(seen: Observed, spec: RelayJobSpec | None) -> float | None:
    """Seconds left of the time to start.

    None where there is no such time, or no more: what was on the bus once may be at work there while the bus is out of
    sight, as it is to a new leader at first. Its time is the driver's affair.
    """
    if spec is None or spec.start_deadline_seconds is None or spec.suspend or seen.job.status.attempt is not None:
        return None
    return max(0.0, _waits_since(seen) + spec.start_deadline_seconds - seen.now)


def _waits_since(seen: Observed) -> float:
    """From when the time to start counts: from creation, or from when the job was resumed."""
    created = seen.job.meta.created_at
    suspended = find(seen.job.status.conditions, JobCondition.SUSPENDED)
    if suspended is None:
        return created
    if suspended.status == "True":
        return seen.now
    return max(created, timestamp(suspended.last_transition_time) or 0.0)


def _pods(seen: Observed, *, wanted: bool) -> list[Action]:
    """One pod per tier while the job goes on, none afterwards."""
    if not wanted:
        return [DropPod(pod) for pod in seen.pods]
    tiers = {pod.tier for pod in seen.pods if not pod.meta.deleting}
    return [MakePod(pool) for pool in seen.templates if pool.spec is not None and pool.spec.tier not in tiers]


def _request(seen: Observed, spec: RelayJobSpec) -> JobRequest:
    """The same object makes the same request, drawn seed included."""
    meta = seen.job.meta
    drawn = int(hashlib.sha256(meta.uid.encode()).hexdigest()[:15], 16)
    # The object is what is deleted when its time is over, and the record with it.
    kept = spec.model_copy(update={"ttl_seconds_after_finished": None})
    return JobRequest(
        job_id=seen.job.job_id,
        spec=kept,
        seed=drawn if spec.seed is None else spec.seed,
        accepted_at=seen.now,
        owner=Owner(namespace=meta.namespace, name=meta.name, uid=meta.uid, controller=seen.controller),
    )


_FREE = {"suspend": False, "ttl_seconds_after_finished": None}


def same_job(one: RelayJobSpec, other: RelayJobSpec) -> bool:
    """Whether two specs ask for the same pictures in the same way."""
    return one.model_copy(update=_FREE) == other.model_copy(update=_FREE)
