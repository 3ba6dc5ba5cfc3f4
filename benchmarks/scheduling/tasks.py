"""What a process of the pool is asked to do besides replays and loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.scheduling import offpolicy, plain, product, speed
from benchmarks.scheduling.entrants import Settings, composed_policy
from benchmarks.scheduling.offpolicy import Estimates
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.speed import Speed
from benchmarks.scheduling.worlds import world_of
from rise_scheduler.policies import LinUcbPolicy

DRAWN = 0.05
"""The share of decisions that the logging policy draws among near-best arms."""
LEARNED_FROM = 1000


@dataclass(frozen=True)
class Estimating:
    """A seed, and the settings of the logging policy and of the target."""

    seed: int
    options: Options
    ours: Settings
    target: Settings


def estimating(of: Estimating) -> Estimates:
    """Log the composed policy with some draws, and estimate the plain formula's value from it."""
    world = world_of("synthetic", of.seed, of.options)
    policy, weight = composed_policy(of.ours)
    logging = product.composed(world.desk, world.prior, replace(policy, epsilon=DRAWN), weight=weight, priced=False)
    target = plain.Analytic(world.prior, world.desk.reference_s, **of.target)
    return offpolicy.estimates(world, logging, target)


@dataclass(frozen=True)
class Timing:
    """The settings of both policies, and how many decisions to time."""

    ours: Settings
    paper: Mapping[str, Any]
    decisions: int


def timing(of: Timing) -> tuple[Speed, Speed, Speed]:
    """The composed policy among all arms and among three, and the paper-like one among all, each with experience."""
    world = world_of("synthetic", 0, Options(jobs=LEARNED_FROM))
    policy, weight = composed_policy(of.ours)
    player = product.composed(world.desk, world.prior, policy, weight=weight, priced=False)
    paper = product.PaperLinUcb(world.desk, LinUcbPolicy(**of.paper))
    known = speed.experienced(player, paper, world)
    many, three = speed.questions(world, 200), speed.questions(world, 200, 3)
    return (
        speed.choosing(player.policy, known, many, of.decisions),
        speed.choosing(player.policy, known, three, of.decisions),
        speed.choosing(paper.policy, known, many, of.decisions),
    )
