"""What a step takes on a worker, and what loading a member takes there, each with how sure that is. Pure.

A measured pace says the less the older it is. In logarithms it goes back to what is usual for that worker, as an
Ornstein-Uhlenbeck process does, and its variance grows to that of a pace of which nothing is known but what is usual:

    trust = exp(-age / MEMORY_S)
    ln pace = ln usual + trust (ln measured - ln usual),    variance = SPREAD_SD^2 (1 - trust^2)

While an accelerator is throttled, usual is THROTTLED times as long, and THROTTLED_SD^2 is added to the variance: a pace
that was measured a moment ago is believed, for it was measured in this heat; an old one is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rise_contracts.messages import Heartbeat

MEMORY_S = 120.0
SPREAD_SD = 0.4
"""The deviation of the logarithm of paces around what is usual: two thirds of it, or half as long again."""
THROTTLED, THROTTLED_SD = 1.5, 0.4
SANE_S = 1e-6, 86_400.0
"""Whoever reports a step or a load beyond these has not measured it."""

LOADED_HERE_SD, LOADED_THERE_SD, NEVER_LOADED_SD = 0.3, 0.5, 1.0
"""The deviation of the logarithm of a load, measured on this worker, on others of its pool, or by size alone."""
LEAST_LOAD_S, BYTES_PER_PARAMETER, BYTES_PER_S = 0.2, 2.0, 250e6
"""For loads that nobody has measured: half precision, from a volume over the network."""
UNKNOWN_LOAD_S = 10.0


Names = tuple[str, str]
"""What a member may be called in a heartbeat: ``family/member``, which goes first, and ``member``."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds per step, one image, and the variance of their logarithm."""

    seconds: float
    variance: float


@dataclass(frozen=True, slots=True)
class Load:
    """Seconds, and their variance in seconds squared."""

    seconds: float = 0.0
    variance: float = 0.0


NOTHING_TO_LOAD = Load()


def names_of(family: str, member: str) -> Names:
    """Of a member of a family."""
    return f"{family}/{member}", member


def seconds_per_step(worker: Heartbeat, names: Names) -> float | None:
    """The worker's measured seconds per step; None if not measured or not sane."""
    return _stated(worker.seconds_per_step, names)


def pace_among(workers: Iterable[Heartbeat], pool: Sequence[Heartbeat], names: Names) -> Pace | None:
    """The mean of those ``workers`` that measured one, as of now; None where none did. Whoever does not say what is
    usual for it is taken to be as the others of its ``pool``; whoever does not say how old its pace is, an older
    release, is believed."""
    total, variances, count = 0.0, 0.0, 0
    for worker in workers:
        measured = seconds_per_step(worker, names)
        if measured is not None:
            seconds, variance = _aged(measured, worker, pool, names)
            total, variances, count = total + seconds, variances + variance, count + 1
    return Pace(total / count, variances / count) if count else None


def _aged(measured: float, worker: Heartbeat, pool: Iterable[Heartbeat], names: Names) -> tuple[float, float]:
    age = _of(worker.pace_age_s, names) or 0.0
    hot = worker.accelerator is not None and bool(worker.accelerator.throttled)
    if age <= 0.0 and not hot:
        return measured, 0.0
    usual = _stated(worker.usual_seconds_per_step, names) or _usual_in(pool, names) or measured
    trust = math.exp(-max(age, 0.0) / MEMORY_S)
    start, end = math.log(measured), math.log(usual * (THROTTLED if hot else 1.0))
    variance = SPREAD_SD**2 * (1.0 - trust * trust) + (THROTTLED_SD**2 if hot else 0.0)
    return math.exp(end + trust * (start - end)), variance


def _usual_in(pool: Iterable[Heartbeat], names: Names) -> float | None:
    """The mean of what is usual, or else was measured, in a pool."""
    told = [_stated(worker.usual_seconds_per_step, names) or seconds_per_step(worker, names) for worker in pool]
    return _mean(told)


def load_prior(parameters: int | None) -> float:
    """Seconds to load a member of so many weights, where nobody has measured it."""
    return UNKNOWN_LOAD_S if parameters is None else LEAST_LOAD_S + parameters * BYTES_PER_PARAMETER / BYTES_PER_S


def load_among(workers: Sequence[Heartbeat], pool: Iterable[Heartbeat], names: Names, prior_s: float) -> Load:
    """What has to be loaded where any of ``workers`` may begin: nothing by who holds the member; by another what its
    loads took, else the mean of those in its ``pool``, else ``prior_s``."""
    cold = [worker for worker in workers if names[1] not in worker.members]
    if not cold:
        return NOTHING_TO_LOAD
    there = _mean([_stated(worker.load_seconds, names) for worker in pool])
    elsewhere = (prior_s, NEVER_LOADED_SD) if there is None else (there, LOADED_THERE_SD)
    total = square = 0.0
    for worker in cold:
        own = _stated(worker.load_seconds, names)
        seconds, deviation = elsewhere if own is None else (own, LOADED_HERE_SD)
        total += seconds
        square += seconds * seconds * (1.0 + deviation * deviation)
    mean = total / len(workers)
    return Load(mean, max(square / len(workers) - mean * mean, 0.0))


def _mean(told: Iterable[float | None]) -> float | None:
    known = [seconds for seconds in told if seconds is not None]
    return sum(known) / len(known) if known else None


def _stated(values: Mapping[str, float], names: Names) -> float | None:
    seconds = _of(values, names)
    return seconds if seconds is not None and SANE_S[0] <= seconds <= SANE_S[1] else None


def _of(values: Mapping[str, float], names: Names) -> float | None:
    if not values:
        return None
    own = values.get(names[0])
    return values.get(names[1]) if own is None else own
