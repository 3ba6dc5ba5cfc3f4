"""What a player sees of a job and of its outcome: the product's own question, and for baselines the same as arrays.

No player sees more than the product's scheduler would: prompt, preference, what workers announce of speed, backlog and
link. Truth stays in the world.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import Arm
from rise_scheduler.context import FEATURES
from rise_scheduler.learned import Learned
from rise_scheduler.place import Place
from rise_scheduler.placing import Candidate
from rise_scheduler.policies import Question
from rise_scheduler.posterior import Array, Posterior
from rise_scheduler.predict import Forecast
from rise_scheduler.prompt import PromptFeatures
from rise_scheduler.quality import expected_quality

NOTHING = Learned()
EDGE_POOL = "edge"
BUSY_SERVICE = 0.4
"""The mean work of a task on the edge as a share of the reference latency, by which seconds of backlog become tasks."""

RICH = (
    *FEATURES,
    "transfer",
    "edge_backlog",
    "device_slowness",
    "preference*complexity",
    "preference*edge_backlog",
    "preference*device_slowness",
    "preference*transfer",
)


@dataclass(frozen=True, slots=True)
class Announced:
    """What the platform says before a job: seconds per step by member (the job's own device for device members),
    seconds of work before it on the edge and on its device, and the link between them."""

    step_s: dict[str, float]
    edge_backlog_s: float
    device_backlog_s: float
    rate: float
    rtt_s: float
    device_pool: str
    device_slowness: float


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A job as players see it. ``arms`` are the indices, among all arms of the world, of the question's candidates;
    ``x`` (6,) is the paper's context, ``rich`` a longer one; ``latency`` and ``edge`` (candidates,) are seconds by
    formula.
    """

    job: int
    at: float
    question: Question
    arms: np.ndarray
    rich: Array
    latency: Array
    edge: Array

    @property
    def x(self) -> Array:
        return self.question.x

    @property
    def id(self) -> str:
        return f"d{self.job}"


@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """A player's answer: the candidate's place in the question, and the probability with which it was chosen."""

    place: int
    propensity: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class News:
    """What came of a job that was given the candidate at ``place``: first when it ends, with ``quality`` None where no
    one judged it yet, and again when it was judged."""

    asked: Asked
    place: int
    latency_s: float
    wait_s: float
    stage_seconds: tuple[float, ...]
    quality: float | None
    first: bool

    @property
    def arm(self) -> int:
        return int(self.asked.arms[self.place])


class Player(Protocol):
    """A policy with its memory."""

    def choose(self, asked: Asked) -> Chosen: ...

    def learn(self, news: News) -> None: ...


class Desk:
    """Puts jobs to players: one family, its arms, and all that does not change from job to job."""

    def __init__(self, family: ModelFamily, arms: Sequence[Arm], latent_bytes: int, reference_s: float) -> None:
        self.family, self.arms = family, tuple(arms)
        self.reference_s = reference_s
        self._bytes = latent_bytes
        fresh = Posterior(FEATURES)
        self.expected = [expected_quality(arm, family, fresh) for arm in arms]

    rich_dim = len(RICH)

    def ask(
        self, job: int, at: float, prompt: PromptFeatures, preference: float, told: Announced, available: np.ndarray
    ) -> Asked:
        """The question about a job; ``available`` (arms,) bool says which can run."""
        indices = np.flatnonzero(available)
        places = self._places(told)
        candidates = [self._candidate(int(index), places, told) for index in indices]
        return self.put(job, at, prompt, preference, candidates, indices, told)

    def put(
        self,
        job: int,
        at: float,
        prompt: PromptFeatures,
        preference: float,
        candidates: Sequence[Candidate],
        indices: np.ndarray,
        told: Announced,
        x: Array | None = None,
    ) -> Asked:
        """The question with these ``candidates``, which are the arms ``indices``. ``x`` is the product's context
        where it made one itself."""
        own, rich = self._contexts(prompt, preference, told)
        question = Question(
            candidates=candidates,
            x=own if x is None else x,
            prompt=prompt,
            learned=NOTHING,
            family=self.family,
            preference=preference,
            draw=f"{job}",
            reference_s=self.reference_s,
        )
        latency = np.array([item.forecast.latency_s for item in candidates])
        edge = np.array([item.forecast.edge_s for item in candidates])
        return Asked(job, at, question, indices, rich, latency, edge)

    def _candidate(self, index: int, places: Mapping[str, Place], told: Announced) -> Candidate:
        parts = self.arms[index].parts
        where = tuple(places[part.member] for part in parts)
        stages = tuple(part.steps * told.step_s[part.member] for part in parts)
        waits = tuple(told.edge_backlog_s if place.tier == "edge" else told.device_backlog_s for place in where)
        moves = (told.rtt_s + self._bytes / told.rate,) * (len(parts) - 1)
        edge = sum(seconds for seconds, place in zip(stages, where, strict=True) if place.tier == "edge")
        beside = sum(waits) + sum(moves)
        nothing = (0.0,) * len(parts)  # to load, and nothing is old
        seen = Forecast(stages, waits, moves, sum(stages) + beside, edge, nothing, 0.0, 0.0, nothing, beside)
        return Candidate.at(self.arms[index], where, seen, self.expected[index])

    def _places(self, told: Announced) -> dict[str, Place]:
        """Where each member runs. Seconds of backlog are announced as such, so no tasks are counted."""
        found = {}
        for member in self.family.spec.members:
            edge = member.tier == "edge"
            backlog = told.edge_backlog_s if edge else told.device_backlog_s
            pool = EDGE_POOL if edge else told.device_pool
            step_s = told.step_s.get(member.name)
            found[member.name] = Place(member.tier, pool, None, True, step_s, 0.0, None, backlog)
        return found

    def _contexts(self, prompt: PromptFeatures, preference: float, told: Announced) -> tuple[Array, Array]:
        """The product's context, whose load is L / (1 + L) of L tasks per slot; and the same with more behind it."""
        edge, device = told.edge_backlog_s / self.reference_s, told.device_backlog_s / self.reference_s
        loads = [backlog / BUSY_SERVICE for backlog in (edge, device)]
        bandwidth = min(max(np.log10(told.rate / 1e6) / 3.0, -1.0), 1.0)
        x = [1.0, prompt.complexity, preference, bandwidth, *(load / (1.0 + load) for load in loads)]
        transfer = min((told.rtt_s + self._bytes / told.rate) / self.reference_s, 2.0)
        slow = told.device_slowness - 1.0
        return np.array(x), np.array(
            [
                *x,
                transfer,
                edge,
                slow,
                preference * prompt.complexity,
                preference * edge,
                preference * slow,
                preference * transfer,
            ]
        )
