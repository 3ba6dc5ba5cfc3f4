"""Events: the story of an object, for `kubectl describe`. Told once, and never at the cost of the work."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from typing import Literal, NamedTuple

from rise_contracts.status import Condition, JobCondition, JobReason, RelayJobStatus
from rise_operator.api import EVENTS, Api, ApiError, Object
from rise_operator.conditions import find, rfc3339
from rise_operator.seen import Meta

log = logging.getLogger(__name__)

MOST_WAITING = 10_000


class Told(NamedTuple):
    """What there is to tell. `again` tells two events of the same words apart (the attempt, the generation)."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    again: int = 0


_WORTH_A_WARNING = frozenset(
    {
        JobReason.FAMILY_NOT_FOUND,
        JobReason.FAMILY_REFUSED,
        JobReason.NO_CONFIGURATION,
        JobReason.NO_POOL,
        JobReason.SCHEDULER_AWAY,
        JobReason.BUS_UNAVAILABLE,
        JobReason.BACKOFF,
    }
)


def story(before: RelayJobStatus, after: RelayJobStatus) -> list[Told]:
    """What has happened to a job between two statuses. Two events for a job that goes well: chosen, and done."""
    attempt = after.attempt or 1
    told = []
    scheduled = find(after.conditions, JobCondition.SCHEDULED)
    if _news(before, after, JobCondition.SUSPENDED):
        suspended = find(after.conditions, JobCondition.SUSPENDED)
        asleep = suspended is not None and suspended.status == "True"
        told.append(Told("Normal", "Suspended" if asleep else "Resumed", "", attempt))
    if after.decision is not None and (before.decision is None or before.decision.id != after.decision.id):
        told.append(Told("Normal", "Scheduled", _chosen(after), attempt))
    elif scheduled is not None and scheduled.status == "False" and scheduled.reason in _WORTH_A_WARNING:
        old = find(before.conditions, JobCondition.SCHEDULED)
        if old is None or old.reason != scheduled.reason:
            told.append(Told("Warning", scheduled.reason, scheduled.message, attempt))
    for name, kind in ((JobCondition.COMPLETE, "Normal"), (JobCondition.FAILED, "Warning")):
        ended = find(after.conditions, name)
        if ended is not None and ended.status == "True" and _news(before, after, name):
            told.append(_end(ended, after, "Normal" if kind == "Normal" else "Warning"))
    return told


def _news(before: RelayJobStatus, after: RelayJobStatus, name: str) -> bool:
    old, new = find(before.conditions, name), find(after.conditions, name)
    return new is not None and (old is None or old.status != new.status)


def _chosen(status: RelayJobStatus) -> str:
    assert status.decision is not None
    seconds = status.decision.predicted.latency_seconds
    forecast = f", about {seconds:.3g} s" if seconds is not None else ""
    where = " then ".join(f"{stage.member} in pool {stage.pool}" for stage in status.stages)
    attempt = f"attempt {status.attempt}: " if (status.attempt or 1) > 1 else ""
    return f"{attempt}{status.decision.arm} ({where}){forecast}"


def _end(ended: Condition, status: RelayJobStatus, kind: Literal["Normal", "Warning"]) -> Told:
    took = f" ({status.seconds:.3g} s in all)" if status.seconds is not None else ""
    return Told(kind, ended.reason, ended.message + took, status.attempt or 1)


class Recorder:
    """Writes events one after another. What cannot be written in time, or not at all, is left out."""

    def __init__(self, api: Api, identity: str) -> None:
        self._api, self._identity = api, identity
        self._waiting: asyncio.Queue[tuple[str, Object]] = asyncio.Queue(MOST_WAITING)

    def tell(self, kind: str, version: str, meta: Meta, told: Told) -> None:
        if self._waiting.full():
            log.warning("an event of %s is left out: %s", meta.name, told.reason)
            return
        self._waiting.put_nowait((meta.namespace or "default", _event(kind, version, meta, told, self._identity)))

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(self._write())

    async def _write(self) -> None:
        while True:
            namespace, event = await self._waiting.get()
            try:
                await self._api.create(EVENTS, namespace, event)
            except ApiError as error:
                if error.status != 409:  # told already, by whoever did this before us
                    log.info("an event is left out: %s", error)


def _event(kind: str, version: str, meta: Meta, told: Told, identity: str) -> Object:
    words = f"{meta.uid}/{told.type}/{told.reason}/{told.message}/{told.again}"
    now = rfc3339(time.time())
    return {
        "metadata": {
            "name": f"{meta.name[:200]}.{hashlib.sha256(words.encode()).hexdigest()[:16]}",
            "namespace": meta.namespace or "default",
        },
        "involvedObject": {
            "apiVersion": version,
            "kind": kind,
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
        },
        "type": told.type,
        "reason": told.reason,
        "message": told.message[:1024],
        "source": {"component": "rise-operator", "host": identity},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "reportingComponent": "rise-relay.io/operator",
        "reportingInstance": identity[:128],
        "action": told.reason,
    }
