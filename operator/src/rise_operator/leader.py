"""All that the leader runs: the watch, the queue and its reconcilers, the job driver, the regular look around."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial

from rise_contracts import subjects
from rise_contracts.errors import BusUnavailable, NoResponder, RiseError, Waited
from rise_contracts.rights import Principal
from rise_operator import metrics
from rise_operator.api import Api, ApiError
from rise_operator.complaints import Complaints
from rise_operator.families.reconcile import FamilyReconciler
from rise_operator.jobs.reconcile import JobReconciler
from rise_operator.lease import Election, NotLeader
from rise_operator.liveness import Liveness
from rise_operator.pools.reconcile import PoolReconciler
from rise_operator.recorder import Recorder
from rise_operator.resync import NotGranted, check_alone, resync
from rise_operator.settings import Settings
from rise_operator.watch import watch
from rise_operator.workqueue import WorkQueue
from rise_operator.world import Item, World
from rise_runtime import layout, streams
from rise_runtime.bus import Bus, connect
from rise_runtime.driver import run_driver
from rise_runtime.heartbeat import Workers
from rise_runtime.jobs import Jobs
from rise_runtime.together import together

log = logging.getLogger(__name__)

ME = Principal("operator")
TICK_S = 1.0
GRACE_S = 3.0
AGAIN_S = 1.0
RIGHTS_S = 5.0
"""For so long a right that is missing may be one that the API server does not know of yet."""


class Leader:
    """One term of leadership."""

    def __init__(self, settings: Settings, api: Api, election: Election, liveness: Liveness) -> None:
        self._settings, self._api, self._election, self._liveness = settings, api, election, liveness
        self._bus: Bus | None = None
        self._connected = asyncio.Event()
        self._queue: WorkQueue[Item] = WorkQueue(self._reconcile, self._failed, workers=settings.workers)
        self._world = World(settings, self._queue.add)
        self._complaints = Complaints(log.warning)
        self._recorder = Recorder(api, election.identity)
        self._jobs = JobReconciler(api, self._connection, self._world, election, self._recorder, settings)
        self._pools = PoolReconciler(api, self._world, election)
        self._families = FamilyReconciler(api, self._connection, self._world, election)

    async def run(self) -> None:
        """Lead until something ends it. Raises InvalidInput where the cluster is not what it has to be."""
        self._world.controller = self._election.uid
        metrics.QUEUE.set_function(lambda: len(self._queue))
        metrics.API_WRITES.set_function(lambda: self._api.writes)
        await self._look_around()
        await together(
            self._work(),
            self._recorder.run(),
            watch(self._api, self._settings, self._world, self._liveness),
            self._resync_forever(),
            self._on_bus(),
            self._tick(),
        )

    async def _work(self) -> None:
        """A bus that is there a moment later than the operator is nothing to tell anybody of."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._connected.wait()
        await self._queue.run()

    async def _look_around(self) -> None:
        give_up = time.monotonic() + RIGHTS_S
        while True:
            try:
                await check_alone(self._api, self._settings, self._election)
                await resync(self._api, self._world, self._settings)
            except (ApiError, NotGranted) as error:
                if isinstance(error, NotGranted) and time.monotonic() > give_up:
                    raise
                log.warning("the cluster cannot be read yet, trying again: %s", error)
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def _resync_forever(self) -> None:
        while True:
            await asyncio.sleep(self._settings.resync_s)
            try:
                await resync(self._api, self._world, self._settings)
            except RiseError as error:
                log.warning("the regular look at everything failed: %s", error)
            self._world.wake_everything()

    async def _on_bus(self) -> None:
        """Be connected, for as long as there is a bus; what is not there yet is waited for."""
        while True:
            try:
                url, access = self._settings.nats_url, self._settings.access
                async with connect(url, access, name="rise-operator", inbox=ME.inbox, patience=5.0) as bus:
                    await layout.ensure(bus)
                    self._bus = bus
                    self._world.bus_problem = partial(_problem_of, bus)
                    self._world.wake_everything()
                    self._connected.set()
                    driving = run_driver(bus, leads=lambda: self._election.held)
                    await together(driving, self._see_records(bus), self._see_workers(bus), self._same_store(bus))
                    self._world.forget_bus()
            except BusUnavailable as error:
                self._world.bus_problem = partial(str, error)
                log.warning("%s; trying again", error)
                await asyncio.sleep(AGAIN_S)

    async def _same_store(self, bus: Bus) -> None:
        """Return when the server came back with another store than it had: what was known of it is known no more."""
        again = asyncio.Event()
        remove = bus.on_reconnect(again.set)
        try:
            born = await streams.born(bus, subjects.STREAM_EVENTS)
            while True:
                await again.wait()
                again.clear()
                with contextlib.suppress(BusUnavailable, Waited, NoResponder):
                    await layout.ensure(bus)
                    if await streams.born(bus, subjects.STREAM_EVENTS) != born:
                        log.warning("the store of %s is another one than before; the jobs are put on it again", bus.url)
                        return
        finally:
            remove()

    async def _see_records(self, bus: Bus) -> None:
        async for job_id, held in Jobs(bus).watch(caught_up=self._world.see_bus_whole):
            self._world.see_record(job_id, held.record if held is not None else None)

    async def _see_workers(self, bus: Bus) -> None:
        workers = Workers(bus)
        self._world.alive = workers.alive
        async for alive in workers.changes():
            self._world.see_workers(alive)

    async def _tick(self) -> None:
        """What changes without an event: a bus that goes away or comes back, workers that fall silent."""
        before = None
        while True:
            await asyncio.sleep(TICK_S)
            self._world.forget_silent_workers()
            problem = self._world.bus_problem()
            if problem != before:
                before = problem
                self._world.wake_everything()

    async def _reconcile(self, item: Item) -> float | None:
        began = time.perf_counter()
        try:
            match item.kind:
                case "job":
                    return await self._jobs.job(item.namespace, item.name)
                case "pool":
                    return await self._pools.pool(item.namespace, item.name)
                case "family":
                    return await self._families.family(item.name)
                case "record":
                    await self._jobs.record(item.namespace, item.name)
            return None
        finally:
            metrics.RECONCILES.labels(item.kind).observe(time.perf_counter() - began)

    def _failed(self, item: Item, error: Exception) -> None:
        what = f"{item.kind} {item.namespace}/{item.name}"
        if isinstance(error, NotLeader):
            return  # all that is left to say of it is said once, at the end of the process
        if isinstance(error, RiseError):
            self._complaints.about(error.reason, f"{what}: {error}; trying again")
        else:
            log.error("%s: an error that nobody foresaw; trying again", what, exc_info=error)

    def _connection(self) -> Bus:
        if self._bus is None:
            raise BusUnavailable(self._settings.nats_url, self._world.bus_problem())
        return self._bus


def _problem_of(bus: Bus) -> str:
    return "" if bus.connected else f"no NATS server answers at {bus.url}"
