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


def seconds_per_step(worker: Heartbeat, family: str, member: str) -> float | None:
    """The worker's measured seconds per step, under ``family/member`` or plain ``member``; None if not measured or
    not sane.
    """
    return _stated(worker.seconds_per_step, family, member)


def paces_of(workers: Iterable[Heartbeat], pool: Sequence[Heartbeat], family: str, member: str) -> list[Pace]:
    """Of those ``workers`` that measured one, as of now. Whoever does not say what is usual for it is taken to be as
    the others of its ``pool``; whoever does not say how old its pace is, an older release, is believed."""
    return [pace for worker in workers if (pace := _pace(worker, pool, family, member)) is not None]


def _pace(worker: Heartbeat, pool: Sequence[Heartbeat], family: str, member: str) -> Pace | None:
    measured = seconds_per_step(worker, family, member)
    if measured is None:
        return None
    age = _of(worker.pace_age_s, family, member) or 0.0
    hot = worker.accelerator is not None and bool(worker.accelerator.throttled)
    if age <= 0.0 and not hot:
        return Pace(measured, 0.0)
    usual = _stated(worker.usual_seconds_per_step, family, member) or _usual_in(pool, family, member) or measured
    trust = math.exp(-max(age, 0.0) / MEMORY_S)
    start, end = math.log(measured), math.log(usual * (THROTTLED if hot else 1.0))
    variance = SPREAD_SD**2 * (1.0 - trust * trust) + (THROTTLED_SD**2 if hot else 0.0)
    return Pace(math.exp(end + trust * (start - end)), variance)


def _usual_in(pool: Iterable[Heartbeat], family: str, member: str) -> float | None:
    """The mean of what is usual, or else was measured, in a pool."""
    known = [
        seconds
        for worker in pool
        if (seconds := _stated(worker.usual_seconds_per_step, family, member))
        or (seconds := seconds_per_step(worker, family, member))
    ]
    return sum(known) / len(known) if known else None


def load_prior(parameters: int | None) -> float:
    """Seconds to load a member of so many weights, where nobody has measured it."""
    return UNKNOWN_LOAD_S if parameters is None else LEAST_LOAD_S + parameters * BYTES_PER_PARAMETER / BYTES_PER_S


def load_of(worker: Heartbeat, pool: Iterable[Heartbeat], family: str, member: str, prior_s: float) -> Load:
    """What ``worker`` has to load before it can begin: nothing where it holds ``member``, else what its loads took,
    else the mean of those in its ``pool``, else ``prior_s``."""
    if member in worker.members:
        return NOTHING_TO_LOAD
    seconds, deviation = _stated(worker.load_seconds, family, member), LOADED_HERE_SD
    if seconds is None:
        told = [s for other in pool if (s := _stated(other.load_seconds, family, member)) is not None]
        seconds, deviation = (sum(told) / len(told), LOADED_THERE_SD) if told else (prior_s, NEVER_LOADED_SD)
    return Load(seconds, (deviation * seconds) ** 2)


def any_of(loads: Sequence[Load]) -> Load:
    """The load that is found where any one of these may be."""
    mean = sum(load.seconds for load in loads) / len(loads)
    square = sum(load.seconds**2 + load.variance for load in loads) / len(loads)
    return Load(mean, max(square - mean * mean, 0.0))


def _stated(values: Mapping[str, float], family: str, member: str) -> float | None:
    seconds = _of(values, family, member)
    return seconds if seconds is not None and SANE_S[0] <= seconds <= SANE_S[1] else None


def _of(values: Mapping[str, float], family: str, member: str) -> float | None:
    if not values:
        return None
    own = values.get(f"{family}/{member}")
    return values.get(member) if own is None else own
