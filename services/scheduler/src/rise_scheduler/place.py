"""A pool as a place for a member's stage, and which of several is best. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from rise_contracts.messages import Heartbeat, LinkQuality
from rise_contracts.model import Tier
from rise_scheduler.pace import NOTHING_TO_LOAD, Load, Names, load_among, pace_among

USUAL_STEPS = 10
"""Of a stage, for the order of pools alone."""
NAMING_S = 0.5
"""What naming one worker of a pool has to save: if it dies or is busier than it said, nobody takes over at once."""


class Place(NamedTuple):
    """Where a stage may run. ``worker`` None is any of the pool.

    ``loaded`` says that a worker there holds the member now. ``seconds_per_step`` (one image) is None until one was
    measured, ``pace_variance`` that of its logarithm by age and heat. ``waiting`` is the tasks before this one, per
    worker of the pool: those at work count half, for they are half done, and workers that several tasks share are worth
    as many as their ``gain`` says, ``power`` in all. ``backlog_s`` is the seconds of work before it, where somebody
    reckons them. ``load`` is the loading of the member, the mean over those who may take the task.
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
    power: float = 1.0

    def reckoned(self, backlogs: Mapping[str, float] | None) -> Place:
        """The same with the work that was sent to its pool."""
        return self if backlogs is None else self._replace(backlog_s=backlogs.get(self.pool, 0.0) / self.power)


class Sought(NamedTuple):
    """A member that wants a place: it, what heartbeats may call it, and what loading it takes where nobody has measured
    that. ``by_name``: whoever takes it has to be named."""

    member: str
    names: Names
    load_prior_s: float
    by_name: bool


class Site(NamedTuple):
    """A pool for a member, whatever its backlog: anybody of it, and who would be named, where that may save time."""

    anybody: Place
    named: Place | None

    def best(self, backlogs: Mapping[str, float] | None) -> Place:
        """Anybody of the pool; or the one who would be named, if that saves enough.

        All that waits in the pool counts as work of the one who is named, so a burst does not wait for it alone.
        """
        anybody = self.anybody.reckoned(backlogs)
        if self.named is None:
            return anybody
        named = self.named.reckoned(backlogs)
        return named if _done_in(named) + NAMING_S < _done_in(anybody) else anybody


def site_of(everyone: Sequence[Heartbeat], usable: Sequence[Heartbeat], sought: Sought) -> Site:
    """A pool of which the ``usable`` may be taken; where only some of these hold the member, the best of them is who
    would be named."""
    anybody = _place_in(everyone, usable, sought)
    holders = [worker for worker in usable if sought.member in worker.members]
    if anybody.worker is not None or not 0 < len(holders) < len(usable):
        return Site(anybody, None)
    return Site(anybody, _place_in(everyone, [_least_busy(holders, sought)], sought))


def _place_in(everyone: Sequence[Heartbeat], usable: Sequence[Heartbeat], sought: Sought) -> Place:
    best = _least_busy(usable, sought)
    # A task for "any" may reach each worker of the pool, so it is bound to one only where some of them will not do.
    bound = len(usable) < len(everyone) or bool(best.dedicated) or best.private or sought.by_name
    names, takers = sought.names, [best] if bound else usable
    pace = pace_among(takers, everyone, names) or pace_among(usable, everyone, names)
    power = sum(_speed(w) for w in usable)
    return Place(
        tier=best.tier,
        pool=best.pool,
        worker=best.worker if bound else None,
        loaded=any(sought.member in worker.members for worker in takers),
        seconds_per_step=None if pace is None else pace.seconds,
        waiting=(queue_of(everyone) + 0.5 * sum(len(w.busy_jobs) for w in usable)) / power,
        link=best.link,
        pace_variance=0.0 if pace is None else pace.variance,
        load=load_among(takers, everyone, names, sought.load_prior_s),
        power=power,
    )


def _least_busy(workers: Iterable[Heartbeat], sought: Sought) -> Heartbeat:
    """Who holds the member comes first, then who has the larger part of its slots free, then by name."""
    return min(workers, key=lambda w: (sought.member not in w.members, len(w.busy_jobs) / w.slots, w.worker))


def _done_in(place: Place) -> float:
    """Seconds until a stage of the usual length would be done; as waiting alone tells where no step was measured."""
    stage = USUAL_STEPS * (place.seconds_per_step or 0.0)
    waits = place.waiting * stage
    return place.load.seconds + stage + (waits if place.backlog_s is None else 0.5 * (place.backlog_s + waits))


def order(place: Place) -> tuple[bool, float, float, str]:
    """The key to sort by, best first: see ``Fleet.place``."""
    return not place.loaded and place.seconds_per_step is None, _done_in(place), place.waiting, place.pool


def _speed(worker: Heartbeat) -> float:
    """The tasks that a worker gets done in the time that one takes by itself."""
    return max(1.0, worker.gain) if worker.slots > 1 else 1.0


def queue_of(pool: Iterable[Heartbeat]) -> int:
    """Each worker reports the queue of its whole pool; the reports are of different moments, the largest is the safe
    one.
    """
    return max(worker.queue_depth for worker in pool)
