"""Throughput of a link over time, in the proportions of four published trace sets.

A set is its quantiles and how fast it forgets. A Gaussian process (a slow and a quick AR(1) added) is drawn second by
second and brought to the quantiles, so the marginal distribution is the set's own; FCC's two humps are in its
quantiles. The figures were computed, time-weighted, from the traces of github.com/UMass-LIDS/sabre.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy.signal import lfilter
from scipy.special import ndtr

RANKS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class LinkSet:
    """``mbps`` are the values at RANKS. The process is ``slow`` parts of an AR(1) that keeps ``keeps`` of itself per
    second and the rest of one that keeps ``quick``. ``rtt_s`` is the middle round trip."""

    name: str
    mbps: tuple[float, ...]
    slow: float
    keeps: float
    quick: float
    rtt_s: float


# The ends (rank 0 and 1) are not published: they are set so that mean and deviation come out as published.
SETS = {
    item.name: item
    for item in (
        LinkSet("hsdpa", (0.0, 0.0, 0.0, 0.15, 0.81, 1.45, 2.98, 4.50, 7.0), 0.85, 0.975, 0.30, 0.12),
        LinkSet("4g", (0.0, 0.0, 5.0, 18.0, 28.8, 40.8, 58.8, 66.8, 80.0), 0.60, 0.955, 0.10, 0.045),
        LinkSet("fcc-sd", (0.1, 0.26, 0.31, 0.83, 7.7, 9.4, 11.1, 12.5, 14.0), 1.0, 0.987, 0.0, 0.02),
        LinkSet("fcc-hd", (0.5, 0.82, 1.06, 1.9, 20.1, 25.8, 36.3, 45.5, 60.0), 1.0, 0.987, 0.0, 0.02),
    )
}

OUTAGE_MBPS = 0.1
"""Below it a link is as good as gone; what is measured there is still this much, for a transfer does end."""


def mbps(link: LinkSet, rng: Generator, seconds: int) -> np.ndarray:
    """Megabits per second at each of ``seconds`` seconds."""
    slow, quick = (_ar1(rng, seconds, keeps) for keeps in (link.keeps, link.quick))
    process = np.sqrt(link.slow) * slow + np.sqrt(1.0 - link.slow) * quick
    found: np.ndarray = np.interp(ndtr(process), RANKS, link.mbps)
    return found


def round_trips(link: LinkSet, rng: Generator, count: int) -> np.ndarray:
    """Seconds; lognormal with deviation 0.25 of the logarithm around the set's middle."""
    return link.rtt_s * np.exp(rng.normal(0.0, 0.25, count))


def bytes_per_s(megabits: np.ndarray) -> np.ndarray:
    """What a transfer gets."""
    found: np.ndarray = np.maximum(megabits, OUTAGE_MBPS) * 1e6 / 8.0
    return found


def _ar1(rng: Generator, count: int, keeps: float) -> np.ndarray:
    """A stationary AR(1) of variance 1."""
    noise = rng.normal(size=count)
    noise[1:] *= np.sqrt(1.0 - keeps**2)
    drawn: np.ndarray = lfilter([1.0], [1.0, -keeps], noise)
    return drawn
