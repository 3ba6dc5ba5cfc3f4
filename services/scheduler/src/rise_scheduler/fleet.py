"""The workers as their heartbeats describe them, and where a stage could run among them. Pure: a fleet is a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rise_contracts.messages import Heartbeat, JobRequest, LinkQuality
from rise_contracts.model import Tier
from rise_contracts.tenants import serves
from rise_scheduler.pace import NOTHING_TO_LOAD, UNKNOWN_LOAD_S, Load, Names, load_among, names_of, pace_among


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stage may run. ``worker`` None is any of the pool.

    ``loaded`` says that a worker there holds the member now. ``seconds_per_step`` (one image) is None until one was
    measured, ``pace_variance`` that of its logarithm by age and heat. ``waiting`` is the tasks before this one, per
    worker of the pool: those at work count half, for they are half done, and workers that several tasks share are worth
    as many as their ``gain`` says. ``backlog_s`` is the seconds of work before it, where somebody reckons them.
    ``load`` is the loading of the member, the mean over those who may take the task.
    """

    tier: Tier
    pool: str
    worker: str | None
    loaded: bool
    seconds_per_step: float | None
    waiting: float
    link: LinkQuality | None
    backlog_s: float | None = None
    pace_variance: float = 0.0
    load: Load = NOTHING_TO_LOAD


@dataclass(frozen=True, slots=True)
class Fleet:
    """All workers that gave a heartbeat lately. ``backlogs`` is by pool the seconds that one worker would take for what
    was sent there, where that is reckoned."""

    workers: tuple[Heartbeat, ...] = ()
    backlogs: Mapping[str, float] | None = None
    _ready: dict[Tier, tuple[Heartbeat, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def open_to(self, request: JobRequest) -> Fleet:
        """Those that may work on a job: their pool is there for its namespace, they know its family, and where its
        stages have workers of their own they are these, else no job's own. Somebody's own device is there for jobs that
        select it, and for no other."""
        selector = request.spec.device_selector
        wanted = request.job_id if request.spec.placement == "Dedicated" else ""
        family = request.spec.family
        namespace = request.owner.namespace if request.owner is not None else None
        fit = (
            worker
            for worker in self.workers
            if serves(worker.pool, namespace)
            and worker.dedicated == wanted
            and (not worker.private or (selector and _has_labels(worker, selector)))
        )
        return Fleet(tuple(worker for worker in fit if not worker.families or family in worker.families), self.backlogs)

    def ready(self, tier: Tier) -> tuple[Heartbeat, ...]:
        """The workers of ``tier`` that pull work."""
        found = self._ready.get(tier)
        if found is None:
            found = tuple([worker for worker in self.workers if worker.tier == tier and worker.ready])
            self._ready[tier] = found
        return found

    def load(self, tier: Tier) -> float:
        """How busy a tier is, 0 (idle) towards 1: L / (1 + L) with L tasks waiting or running per slot of its workers;
        0 where it has none.
        """
        workers = self.ready(tier)
        if not workers:
            return 0.0
        waiting = sum(map(_queue, _by_pool(workers).values())) + sum(len(worker.busy_jobs) for worker in workers)
        tasks = waiting / sum(worker.slots for worker in workers)
        return tasks / (1.0 + tasks)

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
        workers = self.ready(tier)
        if not workers:
            return f"no {tier} worker is ready"
        fit = [worker for worker in workers if _has_labels(worker, selector)] if selector else workers
        if not fit:
            return f"no {tier} worker has the labels {_labels_text(selector)}"
        wanted = ([worker for worker in fit if worker.worker not in avoid] or fit) if avoid else fit
        everyone = _by_pool(workers)
        # One who failed the job and is not in sight any more may still be taking what is for anybody; and whoever joins
        # a pool later may not be whom the job selects.
        unseen = bool(avoid) and not set(avoid) <= {worker.worker for worker in self.workers}
        sought = _Sought(
            member, names_of(family, member), load_prior_s, self.backlogs, by_name=bool(selector) or unseen
        )
        usable = everyone if wanted is workers else _by_pool(wanted)
        places = [_best_in(everyone[pool], usable[pool], sought) for pool in sorted(usable)]
        return min(places, key=_order)


@dataclass(frozen=True, slots=True)
class _Sought:
    """A member that wants a place: see ``Fleet.place``. ``by_name``: whoever takes it has to be named."""

    member: str
    names: Names
    load_prior_s: float
    backlogs: Mapping[str, float] | None
    by_name: bool


def _best_in(everyone: Sequence[Heartbeat], usable: Sequence[Heartbeat], sought: _Sought) -> Place:
    """Anybody of a pool; or, where only some hold the member, the best of these by name, if that saves enough.

    All that waits in the pool counts as work of the one who is named, so a burst does not wait for it alone.
    """
    anybody = _place_in(everyone, usable, sought)
    holders = [worker for worker in usable if sought.member in worker.members]
    if anybody.worker is not None or not 0 < len(holders) < len(usable):
        return anybody
    named = _place_in(everyone, [_least_busy(holders, sought)], sought)
    return named if _done_in(named) + NAMING_S < _done_in(anybody) else anybody


def _place_in(everyone: Sequence[Heartbeat], usable: Sequence[Heartbeat], sought: _Sought) -> Place:
    best = _least_busy(usable, sought)
    # A task for "any" may reach each worker of the pool, so it is bound to one only where some of them will not do.
    bound = len(usable) < len(everyone) or bool(best.dedicated) or best.private or sought.by_name
    names, backlogs, takers = sought.names, sought.backlogs, [best] if bound else usable
    pace = pace_among(takers, everyone, names) or pace_among(usable, everyone, names)
    power = sum(_speed(w) for w in usable)
    return Place(
        tier=best.tier,
        pool=best.pool,
        worker=best.worker if bound else None,
        loaded=any(sought.member in worker.members for worker in takers),
        seconds_per_step=None if pace is None else pace.seconds,
        waiting=(_queue(everyone) + 0.5 * sum(len(w.busy_jobs) for w in usable)) / power,
        link=best.link,
        backlog_s=None if backlogs is None else backlogs.get(best.pool, 0.0) / power,
        pace_variance=0.0 if pace is None else pace.variance,
        load=load_among(takers, everyone, names, sought.load_prior_s),
    )


def _least_busy(workers: Iterable[Heartbeat], sought: _Sought) -> Heartbeat:
    """Who holds the member comes first, then who has the larger part of its slots free, then by name."""
    return min(workers, key=lambda w: (sought.member not in w.members, len(w.busy_jobs) / w.slots, w.worker))


WORKER_LABEL, POOL_LABEL = "rise-relay.io/worker", "rise-relay.io/pool"
"""Labels that every worker has, and none can claim."""
USUAL_STEPS = 10
"""Of a stage, for the order of pools alone."""
NAMING_S = 0.5
"""What naming one worker of a pool has to save: if it dies or is busier than it said, nobody takes over at once."""


def _done_in(place: Place) -> float:
    """Seconds until a stage of the usual length would be done; as waiting alone tells where no step was measured."""
    stage = USUAL_STEPS * (place.seconds_per_step or 0.0)
    waits = place.waiting * stage
    return place.load.seconds + stage + (waits if place.backlog_s is None else 0.5 * (place.backlog_s + waits))


def _order(place: Place) -> tuple[bool, float, float, str]:
    return not place.loaded and place.seconds_per_step is None, _done_in(place), place.waiting, place.pool


def _speed(worker: Heartbeat) -> float:
    """The tasks that a worker gets done in the time that one takes by itself."""
    return max(1.0, worker.gain) if worker.slots > 1 else 1.0


def _by_pool(workers: Iterable[Heartbeat]) -> dict[str, list[Heartbeat]]:
    found: dict[str, list[Heartbeat]] = {}
    for worker in workers:
        found.setdefault(worker.pool, []).append(worker)
    return found


def _queue(pool: Iterable[Heartbeat]) -> int:
    """Each worker reports the queue of its whole pool; the reports are of different moments, the largest is the safe
    one.
    """
    return max(worker.queue_depth for worker in pool)


def _has_labels(worker: Heartbeat, selector: Mapping[str, str]) -> bool:
    """By what the worker says of itself, and by its name and pool, which its key proves, whatever it says."""
    labels = {**worker.labels, WORKER_LABEL: worker.worker, POOL_LABEL: worker.pool}
    return all(labels.get(key) == value for key, value in selector.items())


def _labels_text(selector: Mapping[str, str] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (selector or {}).items())
