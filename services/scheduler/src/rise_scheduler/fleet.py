"""The workers as their heartbeats describe them, and where a stage could run among them. Pure: a fleet is a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rise_contracts.messages import Heartbeat, JobRequest
from rise_contracts.model import Tier
from rise_contracts.tenants import serves
from rise_scheduler.pace import UNKNOWN_LOAD_S, names_of
from rise_scheduler.place import Place, Site, Sought, order, queue_of, site_of

WORKER_LABEL, POOL_LABEL = "rise-relay.io/worker", "rise-relay.io/pool"
"""Labels that every worker has, and none can claim."""

Labels = tuple[tuple[str, str], ...]


class _Wanted(NamedTuple):
    """A member that wants a place: see ``Fleet.place``."""

    tier: Tier
    family: str
    member: str
    avoid: tuple[str, ...]
    selector: Labels
    load_prior_s: float


class _Asker(NamedTuple):
    """Of a job, what says who may work on it: see ``Fleet.open_to``."""

    family: str
    namespace: str | None
    selector: Labels
    dedicated: str


@dataclass(frozen=True, slots=True)
class _Known:
    """What follows from the workers alone, worked out once: decisions are many, heartbeats few."""

    ready: dict[Tier, tuple[Heartbeat, ...]] = field(default_factory=dict)
    sites: dict[_Wanted, tuple[Site, ...] | str] = field(default_factory=dict)
    open: dict[_Asker, Fleet] = field(default_factory=dict)
    loads: dict[Tier, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workers that gave a heartbeat lately. ``backlogs`` is by pool the seconds that one worker would take for what
    was sent there, where that is reckoned."""

    workers: tuple[Heartbeat, ...] = ()
    backlogs: Mapping[str, float] | None = None
    _known: _Known = field(default_factory=_Known, repr=False, compare=False)

    def now(self, workers: tuple[Heartbeat, ...], backlogs: Mapping[str, float]) -> Fleet:
        """These workers with these backlogs. What was worked out of this fleet's workers is kept if they are the
        same. (Nothing is kept of no workers: that would last, and grow.)"""
        return Fleet(workers, backlogs, self._known if workers and workers == self.workers else _Known())

    def open_to(self, request: JobRequest) -> Fleet:
        """Those that may work on a job: their pool is there for its namespace, they know its family, and where its
        stages have workers of their own they are these, else no job's own. Somebody's own device is there for jobs that
        select it, and for no other."""
        spec, owner = request.spec, request.owner
        dedicated = request.job_id if spec.placement == "Dedicated" else ""
        namespace = None if owner is None else owner.namespace
        asker = _Asker(spec.family, namespace, _labels(spec.device_selector), dedicated)
        found = self._known.open.get(asker)
        if found is None:
            fit = tuple([worker for worker in self.workers if _may_work(worker, asker)])
            found = self._known.open[asker] = Fleet(fit)
        return Fleet(found.workers, self.backlogs, found._known)

    def ready(self, tier: Tier) -> tuple[Heartbeat, ...]:
        """The workers of ``tier`` that pull work."""
        found = self._known.ready.get(tier)
        if found is None:
            found = tuple([worker for worker in self.workers if worker.tier == tier and worker.ready])
            self._known.ready[tier] = found
        return found

    def load(self, tier: Tier) -> float:
        """How busy a tier is, 0 (idle) towards 1: L / (1 + L) with L tasks waiting or running per slot of its workers;
        0 where it has none.
        """
        found = self._known.loads.get(tier)
        if found is None:
            found = self._known.loads[tier] = _load(self.ready(tier))
        return found

    def bytes_per_s(self) -> float | None:
        """The middle throughput of the links that were measured (a worker measures as it hands over), or None."""
        known = sorted(
            worker.link.bytes_per_s
            for worker in self.workers
            if worker.link is not None and worker.link.bytes_per_s is not None
        )
        return known[len(known) // 2] if known else None

    def place(
        self,
        tier: Tier,
        family: str,
        member: str,
        *,
        avoid: tuple[str, ...] = (),
        selector: Mapping[str, str] | None = None,
        load_prior_s: float = UNKNOWN_LOAD_S,
    ) -> Place | str:
        """The best place for ``member`` in ``tier``, or one line that says what is missing.

        The pool that would soonest be done with a stage comes first, loading included, then those with less to do, then
        by name; last those that neither hold the member nor know its pace. ``selector`` binds to workers with those
        labels. Workers in ``avoid`` are passed over while others can do the work, and taken when there is nobody else.
        ``load_prior_s`` is what loading takes where nobody has measured it.
        """
        wanted = _Wanted(tier, family, member, avoid, _labels(selector), load_prior_s)
        sites = self._known.sites.get(wanted)
        if sites is None:
            sites = self._known.sites[wanted] = self._sites(wanted)
        if isinstance(sites, str):
            return sites
        return min([site.best(self.backlogs) for site in sites], key=order)

    def _sites(self, wanted: _Wanted) -> tuple[Site, ...] | str:
        tier, avoid, selector = wanted.tier, wanted.avoid, wanted.selector
        workers = self.ready(tier)
        if not workers:
            return f"no {tier} worker is ready"
        fit = [worker for worker in workers if _has_labels(worker, selector)] if selector else workers
        if not fit:
            return f"no {tier} worker has the labels {', '.join(f'{key}={value}' for key, value in selector)}"
        usable = ([worker for worker in fit if worker.worker not in avoid] or fit) if avoid else fit
        everyone, pools = _by_pool(workers), _by_pool(usable)
        # One who failed the job and is not in sight any more may still be taking what is for anybody; and whoever joins
        # a pool later may not be whom the job selects.
        unseen = bool(avoid) and not set(avoid) <= {worker.worker for worker in self.workers}
        names = names_of(wanted.family, wanted.member)
        sought = Sought(wanted.member, names, wanted.load_prior_s, by_name=bool(selector) or unseen)
        return tuple([site_of(everyone[pool], some, sought) for pool, some in sorted(pools.items())])


def _load(workers: Sequence[Heartbeat]) -> float:
    if not workers:
        return 0.0
    waiting = sum(map(queue_of, _by_pool(workers).values())) + sum(len(worker.busy_jobs) for worker in workers)
    tasks = waiting / sum(worker.slots for worker in workers)
    return tasks / (1.0 + tasks)


def _by_pool(workers: Iterable[Heartbeat]) -> dict[str, list[Heartbeat]]:
    found: dict[str, list[Heartbeat]] = {}
    for worker in workers:
        found.setdefault(worker.pool, []).append(worker)
    return found


def _may_work(worker: Heartbeat, asker: _Asker) -> bool:
    return (
        serves(worker.pool, asker.namespace)
        and worker.dedicated == asker.dedicated
        and (not worker.private or (bool(asker.selector) and _has_labels(worker, asker.selector)))
        and (not worker.families or asker.family in worker.families)
    )


def _labels(selector: Mapping[str, str] | None) -> Labels:
    return tuple(selector.items()) if selector else ()


def _has_labels(worker: Heartbeat, selector: Labels) -> bool:
    """By what the worker says of itself, and by its name and pool, which its key proves, whatever it says."""
    labels = {**worker.labels, WORKER_LABEL: worker.worker, POOL_LABEL: worker.pool}
    return all(labels.get(key) == value for key, value in selector)
