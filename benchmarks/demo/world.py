"""What happens in a run, fixed in advance: which jobs come when, and how the machines and links drift meanwhile. Pure.

No phase is announced to anybody: what a policy knows of it, it knows from heartbeats and from what became of its jobs.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from benchmarks._prompts import prompts
from benchmarks.demo.links import Link
from rise_contracts.model import Tier
from rise_shapes.scene import Scene

SEED: Final = 71_006
PREFERENCES: Final = (0.1, 0.5, 0.9)
"""Near the three words that the command line has: speed, balanced, quality."""
PROMPTS: Final = 240

EDGE, NEAR, FAR = "edge-1", "device-1", "device-2"
WORKERS: Final[Mapping[str, Tier]] = {EDGE: "edge", NEAR: "device", FAR: "device"}
PACE: Final = {EDGE: 0.100, NEAR: 0.010, FAR: 0.040}
"""Seconds by which each forward pass is slower than on this machine."""
LINKS: Final = {EDGE: Link(0.001, 12e6), NEAR: Link(0.005, 3e6), FAR: Link(0.020, 1e6)}
"""A data centre's, a good one at home, a mobile one. On 3G: HSDPA's mean rate, and half of it."""


@dataclass(frozen=True)
class Phase:
    """A part of a run. ``pace`` and ``links`` are what differs from the usual; ``rate`` is jobs per second."""

    name: str
    rate: float
    pace: Mapping[str, float] = field(default_factory=dict)
    links: Mapping[str, Link] = field(default_factory=dict)

    def paces(self) -> dict[str, float]:
        """Of every worker."""
        return {**PACE, **self.pace}

    def link(self, worker: str) -> Link:
        """Of one worker."""
        return self.links.get(worker, LINKS[worker])


PHASES: Final = (
    Phase("calm", 0.8),
    Phase("crowd", 2.4),
    Phase("devices on 3G", 0.8, links={NEAR: Link(0.06, 125e3), FAR: Link(0.10, 60e3)}),
    Phase("edge throttled", 0.8, pace={EDGE: 0.45}),
    Phase("devices throttled", 1.0, pace={NEAR: 0.12, FAR: 0.3}),
    Phase("crowd again", 2.4),
)


@dataclass(frozen=True)
class Asking:
    """One job of the list: when it comes (seconds from the beginning), and what is asked."""

    at: float
    phase: int
    prompt: str
    scene: Scene
    seed: int
    preference: float


def phase_at(at: float, seconds: float) -> int:
    """The index of the phase in which a moment of a run of ``seconds`` lies; all are equally long."""
    return min(int(at / seconds * len(PHASES)), len(PHASES) - 1)


def jobs(seconds: float, phases: Sequence[Phase] = PHASES) -> list[Asking]:
    """The list of a run of ``seconds``: Poisson arrivals at each phase's rate, prompts of all complexities."""
    rng, asked = random.Random(SEED), prompts(PROMPTS)
    rng.shuffle(asked)
    length = seconds / len(phases)
    found: list[Asking] = []
    for index, phase in enumerate(phases):
        at = index * length + rng.expovariate(phase.rate)
        while at < (index + 1) * length:
            item, number = asked[len(found) % len(asked)], len(found)
            found.append(Asking(at, index, item.text, item.scene, SEED + number, rng.choice(PREFERENCES)))
            at += rng.expovariate(phase.rate)
    return found
