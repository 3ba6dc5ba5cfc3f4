"""Carrying out what is planned for a RelayJob. Every step may be repeated, and none is taken by who does not lead."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from rise_contracts.errors import NotFound
from rise_contracts.records import JobRecord
from rise_contracts.status import RelayJobStatus
from rise_operator.api import PODS, RELAY_JOBS, Api, ApiError, Object
from rise_operator.jobs import plan
from rise_operator.lease import Election
from rise_operator.pools.pods import job_pod
from rise_operator.recorder import Recorder, story
from rise_operator.seen import SeenJob
from rise_operator.settings import Settings
from rise_operator.statuses import write_status
from rise_operator.world import World
from rise_runtime import client, endings
from rise_runtime.bus import Bus
from rise_runtime.jobs import Jobs

SETTLE_S = 0.3
"""After a job was submitted: most decisions are there by then, and the first status tells of them."""
SPACING_S = 1.0
"""Between two writes of a status that is not final. What a slow API server cannot take should not be asked of it."""


class JobReconciler:
    """`bus` gives the connection; it is asked only for what a plan made with a bus that is there."""

    def __init__(
        self,
        api: Api,
        bus: Callable[[], Bus],
        world: World,
        election: Election,
        recorder: Recorder,
        settings: Settings,
    ) -> None:
        self._api, self._bus, self._world, self._election = api, bus, world, election
        self._recorder, self._settings = recorder, settings
        self._not_before: dict[str, float] = {}

    async def job(self, namespace: str, name: str) -> float | None:
        """Bring one RelayJob a step further; when to look again. Raises ApiError, BusUnavailable, NotLeader."""
        job = self._world.jobs.get((namespace, name))
        if job is None:
            return None
        planned = plan.plan_job(self._world.job(job))
        for action in planned.actions:
            await self._act(job, action)
        wait = None if planned.status is None else await self._tell(job, planned.status)
        return min((s for s in (wait, planned.again_s) if s is not None), default=None)

    async def record(self, uid: str, job_id: str) -> None:
        """Clear up after a RelayJob that is not there any more: pods of `uid`, the record of `job_id`."""
        for pod in self._world.pods_of_job(uid) if uid else ():
            await self._delete_pod(pod.meta.namespace, pod.meta.name, pod.meta.uid)
        if not job_id or self._world.keys_of(job_id):
            return
        held = await Jobs(self._bus()).get(job_id)
        owner = held.record.request.owner if held is not None else None
        if owner is None or owner.controller != self._world.controller:
            return
        there = await self._api.get(RELAY_JOBS, owner.namespace, owner.name)
        if there is not None and there["metadata"]["uid"] == owner.uid:
            self._world.see_job(there)  # it is there, and was not known here
            return
        for action in plan.plan_gone(job_id).actions:
            await self._act(None, action)

    async def _act(self, job: SeenJob | None, action: plan.Action) -> None:
        self._election.check()
        match action:
            case plan.Submit(request, since):
                await self._submit(JobRecord(request=request, resumed_at=since))
            case plan.SetSuspend(job_id, suspend):
                await self._set_suspend(job_id, suspend)
            case plan.Cancel(job_id):
                await client.cancel(self._bus(), job_id)
            case plan.Forget(job_id):
                await self._forget(job_id)
            case plan.DropPod(pod):
                await self._delete_pod(pod.meta.namespace, pod.meta.name, pod.meta.uid)
            case plan.MakePod(template) if job is not None and template.spec is not None:
                stage, home = self._settings.stage, self._settings.namespace
                made = job_pod(job.meta, job.job_id, template, template.spec, stage, home)
                await self._make_pod(made)
            case plan.Delete() if job is not None:
                await self._api.delete(RELAY_JOBS, job.meta.namespace, job.meta.name, uid=job.meta.uid)

    async def _submit(self, record: JobRecord) -> None:
        held = await Jobs(self._bus()).create(record)
        self._not_before[record.job_id] = time.monotonic() + SETTLE_S
        self._world.see_record(record.job_id, held.record)

    async def _set_suspend(self, job_id: str, suspend: bool) -> None:
        with suppress(NotFound):
            self._world.see_record(job_id, await client.set_suspend(self._bus(), job_id, suspend))

    async def _forget(self, job_id: str) -> None:
        bus = self._bus()
        with suppress(NotFound):
            await client.cancel(bus, job_id)
        await endings.remove_job(bus, job_id)
        self._world.records.pop(job_id, None)
        self._not_before.pop(job_id, None)

    async def _make_pod(self, body: Object) -> None:
        try:
            made = await self._api.create(PODS, body["metadata"]["namespace"], body)
        except ApiError as error:
            if error.status != 409:
                raise
        else:
            self._world.see_pod(made)

    async def _delete_pod(self, namespace: str, name: str, uid: str) -> None:
        self._election.check()
        await self._api.delete(PODS, namespace, name, uid=uid)

    async def _tell(self, job: SeenJob, status: RelayJobStatus) -> float | None:
        """Write the status if it is news; how long to wait where it is too early for that."""
        before = job.status
        if status == before:
            return None
        final = status.phase in ("Complete", "Failed")
        early = self._not_before.get(job.job_id, 0.0) - time.monotonic()
        if early > 0 and not final:
            return early
        self._election.check()
        try:
            written = await write_status(self._api, RELAY_JOBS, job.meta, status)
        except ApiError as error:
            if error.status == 404:
                return None
            if error.status == 409:
                there = await self._api.get(RELAY_JOBS, job.meta.namespace, job.meta.name)
                if there is not None:
                    self._world.see_job(there)
                return None
            raise
        if final:
            self._not_before.pop(job.job_id, None)
        else:
            self._not_before[job.job_id] = time.monotonic() + SPACING_S
        for told in story(before, status):
            self._recorder.tell("RelayJob", RELAY_JOBS.version, job.meta, told)
        self._world.see_job(written)
        return None
