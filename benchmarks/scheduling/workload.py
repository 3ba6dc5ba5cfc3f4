"""The jobs of a run: when they come, what they ask for, whose device they are bound to, and what its link is like.

Drawn once per seed, so that every policy gets the same jobs, links and moments (common random numbers).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from benchmarks.scheduling import networks, prompts
from rise_scheduler.prompt import PromptFeatures, prompt_features

PREFERENCES = (0.25, 0.5, 0.8)

DEVICES = ("phone", "laptop", "desktop")
"""The pools of devices; a job is bound to one, its user's."""
SLOWNESS = (1.5, 1.0, 0.7)
"""Seconds per step of a pool's devices over those of the profile."""
LINKS = ("4g", "fcc-hd", "fcc-sd")
LINKS_AFTER = ("hsdpa", "4g", "fcc-sd")
"""After the network has changed: telephones fall back to 3G, laptops are taken outside."""

SWING = 0.3
WORK_SD = 0.6
"""The deviation of the logarithm of others' work."""

LINK_AGE_S = 4.0
"""How old a device's own measure of its throughput is, on average."""


@dataclass(frozen=True)
class Jobs:
    """``count`` jobs. Arrays are (count,) unless said otherwise; ``device`` is an index into DEVICES.

    ``rate`` is bytes per second of the device's link in truth, ``rate_seen`` what the device said last of it.
    """

    at: np.ndarray
    prompts: tuple[str, ...]
    features: tuple[PromptFeatures, ...]
    preference: np.ndarray
    device: np.ndarray
    rate: np.ndarray
    rate_seen: np.ndarray
    rtt: np.ndarray

    @property
    def count(self) -> int:
        return len(self.prompts)


def jobs(
    rng: Generator, count: int, *, rate: float, cv: float, texts: list[str] | None = None, change_at: float = 1.0
) -> Jobs:
    """Draw jobs that come at ``rate`` per second. ``texts`` replaces the prompts; ``change_at`` is the share of the
    jobs after which the networks change."""
    drawn = prompts.draw(rng, count) if texts is None else texts
    at = arrivals(rng, count, rate, cv)
    device = rng.integers(len(DEVICES), size=count)
    seen: dict[str, PromptFeatures] = {}
    for text in drawn:
        if text not in seen:
            seen[text] = prompt_features(text)
    changed = np.arange(count) >= change_at * count
    true, said, rtt = _links(rng, at, device, changed)
    return Jobs(
        at=at,
        prompts=tuple(drawn),
        features=tuple(seen[text] for text in drawn),
        preference=rng.choice(PREFERENCES, size=count),
        device=device,
        rate=true,
        rate_seen=said,
        rtt=rtt,
    )


def arrivals(rng: Generator, count: int, rate: float, cv: float) -> np.ndarray:
    """Seconds at which jobs come: Gamma intervals of mean 1 / ``rate`` and coefficient of variation ``cv`` (1:
    Poisson)."""
    shape = 1.0 / cv**2
    return np.cumsum(rng.gamma(shape, 1.0 / (rate * shape), size=count))


def background(rng: Generator, at: np.ndarray, scale_s: float, busy: float) -> np.ndarray:
    """The seconds of work before a job that comes at ``at``, from others' jobs on two servers.

    Others come in Gamma bursts (CV 1.5) whose rate swings by SWING three times in the run, each with ``scale_s`` of
    work on average; ``busy`` is the servers' mean utilisation.
    """
    span = float(at[-1]) + 1.0
    rate = 2.0 * busy / scale_s
    times = arrivals(rng, int(rate * (1.0 + SWING) * span * 1.3) + 64, rate * (1.0 + SWING), 1.5)
    times = times[times < span]
    swing = 1.0 + SWING * np.sin(6.0 * np.pi * times / span)
    times = times[rng.random(len(times)) * (1.0 + SWING) < swing]
    work = rng.lognormal(np.log(scale_s) - 0.5 * WORK_SD**2, WORK_SD, len(times))
    return waiting(times, work, at)


def waiting(times: np.ndarray, work: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The wait of a job at each of ``at`` behind others in one queue with two servers (Kiefer and Wolfowitz)."""
    waits = np.zeros(len(at))
    free = [0.0, 0.0]
    upcoming = 0
    for index, now in enumerate(at):
        while upcoming < len(times) and times[upcoming] <= now:
            first = free.index(min(free))
            free[first] = max(free[first], times[upcoming]) + work[upcoming]
            upcoming += 1
        waits[index] = max(min(free) - now, 0.0)
    return waits


def _links(
    rng: Generator, at: np.ndarray, device: np.ndarray, changed: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    seconds = int(at[-1]) + 2
    said_at = np.maximum(at - rng.exponential(LINK_AGE_S, len(at)), 0.0)
    true, said, rtt = np.empty(len(at)), np.empty(len(at)), np.empty(len(at))
    for pool in range(len(DEVICES)):
        for after, names in ((False, LINKS), (True, LINKS_AFTER)):
            link = networks.SETS[names[pool]]
            series = networks.bytes_per_s(networks.mbps(link, rng, seconds))
            mine = (device == pool) & (changed == after)
            true[mine], said[mine] = series[at[mine].astype(int)], series[said_at[mine].astype(int)]
            rtt[mine] = networks.round_trips(link, rng, int(mine.sum()))
    return true, said, rtt
