"""What the operator has seen: objects of the API server, records of the bus, workers. A cache, and who cares for what.

Nothing here is the truth: all of it can be thrown away and seen again. Whatever changes puts the keys that it bears
upon into the queue.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from rise_contracts.messages import Heartbeat
from rise_contracts.records import JobRecord
from rise_contracts.status import JobReason, PoolReason
from rise_contracts.tenants import pool_on_bus
from rise_operator import seen
from rise_operator.api import Object
from rise_operator.families.plan import ObservedFamily
from rise_operator.jobs.observed import Hindrance, Observed
from rise_operator.pools.plan import ObservedPool
from rise_operator.pools.pods import DEPLOYMENT_PREFIX, NODE_WORKER_LABEL, deployment_name
from rise_operator.seen import Key, SeenDeployment, SeenFamily, SeenJob, SeenPod, SeenPool
from rise_operator.settings import Settings

NODES_KEPT = 1000
"""Workers whose nodes are known after they went."""


class Item(NamedTuple):
    """One thing to look at. `record` is a job on the bus whose RelayJob may be gone."""

    kind: Literal["job", "pool", "family", "record"]
    namespace: str
    name: str


class World:
    """`wake` is told what to look at (again)."""

    def __init__(self, settings: Settings, wake: Callable[[Item], None]) -> None:
        self._settings, self._wake = settings, wake
        self.controller = ""
        self.jobs: dict[Key, SeenJob] = {}
        self.pools: dict[Key, SeenPool] = {}
        self.families: dict[str, SeenFamily] = {}
        self.pods: dict[Key, SeenPod] = {}
        self.deployments: dict[Key, SeenDeployment] = {}
        self.records: dict[str, JobRecord] = {}
        self.read = False
        """Whether these are all that the bus has."""
        self.published: dict[str, int] = {}
        """The generation of each family that the bus knows."""
        self.refused: dict[Key, str] = {}
        """What the API server said of a pool's Deployment."""
        self.workers: tuple[Heartbeat, ...] = ()
        self._nodes: dict[str, str] = {}
        self.alive: Callable[[], tuple[Heartbeat, ...]] = tuple
        self.bus_problem: Callable[[], str] = lambda: "no NATS server has answered yet"
        self._keys_of: defaultdict[str, set[Key]] = defaultdict(set)

    # Objects of the API server

    def see_job(self, body: Object) -> None:
        meta = body["metadata"]
        old = self.jobs.get((meta.get("namespace", ""), meta["name"]))
        if old is not None and (old.meta.uid, old.meta.resource_version) == (meta["uid"], meta["resourceVersion"]):
            return  # most events of the watch tell the operator what it wrote itself
        job = seen.job(body)
        if old is not None and old.meta.uid != job.meta.uid:
            self.lose_job(old.meta.key, old.meta.uid)
        elif old is not None and old.job_id != job.job_id:
            self._keys_of[old.job_id].discard(old.meta.key)
        self.jobs[job.meta.key] = job
        self._keys_of[job.job_id].add(job.meta.key)
        if job.finished and job.job_id in self.records and self.records[job.job_id].finished:
            del self.records[job.job_id]
        self._wake(Item("job", *job.meta.key))

    def lose_job(self, key: Key, uid: str) -> None:
        job = self.jobs.get(key)
        if job is None or job.meta.uid != uid:
            return
        del self.jobs[key]
        self._keys_of[job.job_id].discard(key)
        for other in self._keys_of[job.job_id]:
            self._wake(Item("job", *other))
        if not self._keys_of[job.job_id]:
            del self._keys_of[job.job_id]
        self._wake(Item("record", job.meta.uid, job.job_id))

    def see_pool(self, body: Object) -> None:
        pool = seen.pool(body)
        old = self.pools.get(pool.meta.key)
        self.pools[pool.meta.key] = pool
        self._wake(Item("pool", *pool.meta.key))
        if old is not None and old.meta.generation == pool.meta.generation:
            return
        if pool.spec is not None:
            self._wake(Item("family", "", pool.spec.family))
        self._wake_jobs(lambda job: job.spec is not None and job.spec.placement == "Dedicated")

    def lose_pool(self, key: Key) -> None:
        self.pools.pop(key, None)
        self.refused.pop(key, None)

    def refuse_pool(self, key: Key, why: str) -> None:
        """The API server's words on a pool's Deployment; empty once it takes it."""
        if self.refused.get(key, "") != why:
            self.refused[key] = why
            self._wake(Item("pool", *key))

    def see_family(self, body: Object) -> None:
        family = seen.family(body)
        old = self.families.get(family.meta.name)
        self.families[family.meta.name] = family
        if old is None or old.meta.generation != family.meta.generation:
            self.wake_family(family.meta.name)
        else:
            self._wake(Item("family", "", family.meta.name))

    def lose_family(self, name: str) -> None:
        self.families.pop(name, None)
        self.wake_family(name)

    def wake_family(self, name: str) -> None:
        """Look at a family, its pools and the jobs that wait for it."""
        self._wake(Item("family", "", name))
        for pool in self.pools_of(name):
            self._wake(Item("pool", *pool.meta.key))
        self._wake_jobs(lambda job: job.spec is not None and job.spec.family == name)

    def see_pod(self, body: Object) -> None:
        pod = seen.pod(body)
        self.pods[pod.meta.key] = pod
        self._wake_owner(pod)

    def lose_pod(self, key: Key) -> None:
        pod = self.pods.pop(key, None)
        if pod is not None:
            self._wake_owner(pod)

    def see_deployment(self, body: Object) -> None:
        deployment = seen.deployment(body)
        self.deployments[deployment.meta.key] = deployment
        self._wake_deployed(deployment.meta.key)

    def lose_deployment(self, key: Key) -> None:
        self.deployments.pop(key, None)
        self._wake_deployed(key)

    # The bus

    def see_record(self, job_id: str, record: JobRecord | None) -> None:
        """`record` None: it was removed."""
        keys = self._keys_of.get(job_id, ())
        if record is None:
            self.records.pop(job_id, None)
        elif not record.finished or any(not self.jobs[key].finished for key in keys) or self.is_ours(record):
            self.records[job_id] = record
        for key in keys:
            self._wake(Item("job", *key))
        if not keys and record is not None and self.is_ours(record):
            self._wake(Item("record", "", job_id))

    def is_ours(self, record: JobRecord) -> bool:
        """Whether this installation accepted it for a RelayJob."""
        owner = record.request.owner
        return owner is not None and owner.controller == self.controller

    def see_workers(self, alive: tuple[Heartbeat, ...]) -> None:
        """Take the living workers in, and look at the pools and families for which anything has changed."""
        before, now = _gist(self.workers), _gist(alive)
        self.workers = alive
        placed = {beat.worker: beat.labels[NODE_WORKER_LABEL] for beat in alive if NODE_WORKER_LABEL in beat.labels}
        # Of those who went as well: what they made is told after them, or before they are heard of again.
        kept = {worker: node for worker, node in self._nodes.items() if worker not in placed}
        self._nodes = dict([*kept.items(), *placed.items()][-max(NODES_KEPT, len(placed)) :])
        changed = {pool for pool in {*before, *now} if before.get(pool) != now.get(pool)}
        if not changed:
            return
        for key, pool in self.pools.items():
            if self._bus_name(key) in changed:
                self._wake(Item("pool", *key))
                if pool.spec is not None:
                    self._wake(Item("family", "", pool.spec.family))

    def forget_silent_workers(self) -> None:
        """Heartbeats end without a word."""
        self.see_workers(self.alive())

    def forget_bus(self) -> None:
        """What the bus was known to have is to be found out anew."""
        self.records.clear()
        self.read = False
        self.published.clear()

    def see_bus_whole(self) -> None:
        """Every record that was there has been seen: a job without one has none."""
        self.read = True
        self._wake_jobs(lambda job: True)

    def wake_everything(self) -> None:
        for key in self.jobs:
            self._wake(Item("job", *key))
        for key in self.pools:
            self._wake(Item("pool", *key))
        for name in self.families:
            self._wake(Item("family", "", name))
        for job_id, record in self.records.items():
            if job_id not in self._keys_of and self.is_ours(record):
                self._wake(Item("record", "", job_id))

    # What is decided upon

    def job(self, job: SeenJob) -> Observed:
        spec = job.spec
        family = spec.family if spec is not None else ""
        dedicated = spec is not None and spec.placement == "Dedicated"
        return Observed(
            job=job,
            now=time.time(),
            record=self.records.get(job.job_id),
            read=self.read,
            others=tuple(self.jobs[key] for key in self.keys_of(job.job_id) if key != job.meta.key),
            missing=self._missing(family) if spec is not None else None,
            bus=self.bus_problem(),
            templates=self._templates(family, job.meta.namespace) if dedicated else (),
            pods=self.pods_of_job(job.meta.uid),
            nodes=self._nodes,
            controller=self.controller,
        )

    def pool(self, pool: SeenPool) -> ObservedPool:
        namespace, name = pool.meta.key
        family = pool.spec.family if pool.spec is not None else ""
        hindrance = self._missing(family)
        return ObservedPool(
            pool=pool,
            now=time.time(),
            defaults=self._settings.stage,
            home=self._settings.namespace,
            deployment=self.deployments.get((namespace, deployment_name(name))),
            pods=tuple(pod for key, pod in self.pods.items() if key[0] == namespace and pod.pool == name),
            workers=self._workers_of(pool.meta.key),
            missing=None if hindrance is None else (PoolReason(hindrance.reason.value), hindrance.message),
            refused=self.refused.get(pool.meta.key, ""),
        )

    def family(self, family: SeenFamily) -> ObservedFamily:
        name = family.meta.name
        pools = self.pools_of(name)
        pods = [pod for pool in pools for pod in self.pods.values() if (pod.meta.namespace, pod.pool) == pool.meta.key]
        failing = (pod.trouble for pod in pods if pod.trouble is not None and pod.trouble.kind == "Failing")
        return ObservedFamily(
            seen=family,
            now=time.time(),
            published=self.published.get(name) == family.meta.generation,
            bus=self.bus_problem(),
            workers=[beat for pool in pools for beat in self._workers_of(pool.meta.key)],
            failing=next(failing, None),
        )

    def keys_of(self, job_id: str) -> Iterable[Key]:
        """The RelayJobs that are this job."""
        return self._keys_of.get(job_id, ())

    def pods_of_job(self, uid: str) -> tuple[SeenPod, ...]:
        """The pods that are there for one RelayJob."""
        return tuple(pod for pod in self.pods.values() if pod.job_uid == uid)

    def pools_of(self, family: str) -> list[SeenPool]:
        return [pool for pool in self.pools.values() if pool.spec is not None and pool.spec.family == family]

    def _templates(self, family: str, namespace: str) -> tuple[SeenPool, ...]:
        """The first pool of each tier, by name, of the job's own namespace or else of the operator's."""
        chosen: dict[str, SeenPool] = {}
        near = {namespace: 0, self._settings.namespace: 1}
        open_to = [pool for pool in self.pools_of(family) if pool.meta.namespace in near]
        for pool in sorted(open_to, key=lambda pool: (near[pool.meta.namespace], pool.meta.name)):
            if pool.spec is not None and not pool.meta.deleting:
                chosen.setdefault(pool.spec.tier, pool)
        return tuple(chosen.values())

    def _missing(self, family: str) -> Hindrance | None:
        """Why nobody can work with a family now."""
        there = self.families.get(family)
        if there is None:
            known = ", ".join(sorted(self.families)) or "none"
            return Hindrance(JobReason.FAMILY_NOT_FOUND, f"there is no ModelFamily {family!r}; known: {known}")
        if there.family is None:
            return Hindrance(JobReason.FAMILY_REFUSED, f"ModelFamily {family!r}: {there.problem}")
        if family not in self.published:
            return Hindrance(JobReason.FAMILY_NOT_FOUND, f"ModelFamily {family!r} is being made known to the workers")
        return None

    def _workers_of(self, key: Key) -> tuple[Heartbeat, ...]:
        name = self._bus_name(key)
        return tuple(beat for beat in self.workers if beat.pool == name)

    def _bus_name(self, key: Key) -> str:
        return pool_on_bus(*key, home=self._settings.namespace)

    def _wake_owner(self, pod: SeenPod) -> None:
        if not pod.job_uid:
            self._wake(Item("pool", pod.meta.namespace, pod.pool))
            return
        owner = next((job for job in self.jobs.values() if job.meta.uid == pod.job_uid), None)
        self._wake(Item("record", pod.job_uid, "") if owner is None else Item("job", *owner.meta.key))

    def _wake_deployed(self, key: Key) -> None:
        self._wake(Item("pool", key[0], key[1].removeprefix(DEPLOYMENT_PREFIX)))

    def _wake_jobs(self, concerned: Callable[[SeenJob], bool]) -> None:
        for key, job in self.jobs.items():
            if not job.finished and concerned(job):
                self._wake(Item("job", *key))


def _gist(workers: Iterable[Heartbeat]) -> dict[str, set[tuple[object, ...]]]:
    """By pool, what a status says of workers."""
    gist: defaultdict[str, set[tuple[object, ...]]] = defaultdict(set)
    for beat in workers:
        gist[beat.pool].add((beat.worker, beat.ready, bool(beat.busy_jobs), beat.members))
    return gist
