"""How one arm is chosen among those that can run. A policy is pure: the same question gives the same answer.

``fixed`` does not learn: relays are ordered by the edge work they cost, and the preference picks along that order, 0
the cheapest and 1 the dearest; without a relay the base member runs alone on the edge, else a device member alone.

``linucb`` is the paper's: disjoint LinUCB per arm on the scalar reward, the highest optimistic score wins, and equal
scores go to the arm listed first. With ``epsilon`` > 0 (off by default) a draw from the job's own identity spreads
that share of choices evenly over the arms within ``band`` of the best score, so that the log supports off-policy
estimates; the propensity is logged always.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import base_member
from rise_scheduler.learned import Learned
from rise_scheduler.linucb import ArmScore, score_arms
from rise_scheduler.placing import Candidate
from rise_scheduler.posterior import Array
from rise_scheduler.prompt import PromptFeatures


@dataclass(frozen=True, slots=True)
class Question:
    """What a policy is asked: the arms that can run (at least one), the context (d,), the prompt, what was learned, who
    is asking.

    ``reference_s`` is the latency of the whole job that counts as 1; ``price`` is that of so many seconds of an edge
    worker, in utility; ``busy`` says that the edge has more to do than is good.
    """

    candidates: Sequence[Candidate]
    x: Array
    prompt: PromptFeatures
    learned: Learned
    family: ModelFamily
    preference: float
    draw: str
    reference_s: float
    deadline_s: float | None = None
    price: float = 0.0
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen candidate's index, the probability of choosing it, and the scores (empty for a policy that has
    none).
    """

    index: int
    propensity: float = 1.0
    scores: Sequence[ArmScore] = ()


class Policy(Protocol):
    """Anything with a name that can choose. ``weighs_seconds``: it sets the seconds of this very job against its
    quality, so that an arm which has to load a member first may be among those that it is asked about."""

    @property
    def name(self) -> str: ...

    @property
    def weighs_seconds(self) -> bool: ...

    def choose(self, question: Question) -> Choice: ...


@dataclass(frozen=True, slots=True)
class FixedPolicy:
    """The family's relay by preference; see the module."""

    name: str = "fixed"
    weighs_seconds: bool = False

    def choose(self, question: Question) -> Choice:
        """Pick along the relays, by edge work."""
        indices = range(len(question.candidates))
        relays = [i for i in indices if question.candidates[i].arm.kind == "relay"]
        if relays:
            relays.sort(key=lambda i: edge_work(question.candidates[i], question.family))
            return Choice(relays[int(question.preference * (len(relays) - 1) + 0.5)])  # halves go to quality
        base = base_member(question.family).name

        def rank(i: int) -> tuple[bool, bool, int]:
            part = question.candidates[i].arm.parts[0]
            return (part.member != base, part.tier != "edge", -part.steps)

        return Choice(min(indices, key=rank))


@dataclass(frozen=True, slots=True)
class LinUcbPolicy:
    """Disjoint LinUCB; see the module. ``alpha`` scales the width, ``ridge`` is the prior's precision."""

    alpha: float = 0.02
    ridge: float = 1.0
    epsilon: float = 0.0
    band: float = 0.05
    name: str = "linucb"
    weighs_seconds: bool = False

    def choose(self, question: Question) -> Choice:
        """The highest score, or a draw within the band."""
        arms = [candidate.arm.learns_as for candidate in question.candidates]
        scores = score_arms(question.learned.posterior, arms, question.x, alpha=self.alpha, ridge=self.ridge)
        best = max(range(len(scores)), key=lambda i: scores[i].score)
        if self.epsilon <= 0.0:
            return Choice(best, 1.0, scores)
        near = [i for i, item in enumerate(scores) if item.score >= scores[best].score - self.band]
        chosen, propensity = drawn(near, best, self.epsilon, question.draw)
        return Choice(chosen, propensity, scores)


def drawn(near: Sequence[int], best: int, epsilon: float, draw: str) -> tuple[int, float]:
    """``best``, or in a share ``epsilon`` of the cases any of ``near`` (``best`` among them); and its probability."""
    generator = random.Random(draw)
    chosen = generator.choice(near) if generator.random() < epsilon else best
    return chosen, epsilon / len(near) + (1.0 - epsilon if chosen == best else 0.0)


def edge_work(candidate: Candidate, family: ModelFamily) -> tuple[float, float]:
    """What an arm costs the edge, for ordering: steps there weighted by the member's size, then the handoff (lower
    costs more).
    """
    sizes = {member.name: float(member.parameters or 1) for member in family.spec.members}
    parts = candidate.arm.parts
    on_edge = (part for part, tier in zip(parts, candidate.tiers, strict=True) if tier == "edge")
    return (sum(part.steps * sizes[part.member] for part in on_edge), -(parts[0].until_sigma or 0.0))
