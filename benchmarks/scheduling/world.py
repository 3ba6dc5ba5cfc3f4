"""A world in full: for every job and every arm what would have come of it, and how each job looks to players.

Latency, in truth, is waiting + stages + moving, each with hidden factors: the seconds announced are a profile that the
shifts make wrong, links and backlogs are told late, encoding and decoding are in no formula, and every stage of every
job has a factor drawn from ``spread`` (of the machine at that moment, the same for all arms).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.random import Generator

from benchmarks.scheduling import workload
from benchmarks.scheduling.seam import Announced, Asked, Desk
from benchmarks.scheduling.shifts import Options, Span
from rise_contracts.resources import ModelFamily
from rise_scheduler.arm import Arm, base_member
from rise_scheduler.prompt import PromptFeatures
from rise_scheduler.reward import LATENCY_CAP

ARM_TIME_SD, PLACE_TIME_SD = 0.03, 0.08
"""Deviations of the logarithms by which an arm's stages, and a member at a pool, differ from every formula."""
MOVE_FACTOR = 1.15
STALE_SD = 0.2
"""The deviation of the logarithm of a backlog over what was announced of it."""


@dataclass(frozen=True)
class Profile:
    """What runs cost where nothing is wrong. ``step_s`` by member at slowness 1; ``begin_s`` and ``end_s`` are encoding
    and decoding by tier, which no formula holds; ``hand_s`` is a handoff beside its link; ``spread`` are factors (n,)
    of mean 1 to draw from; ``load`` is the utilisation of the edge by others."""

    family: ModelFamily
    arms: tuple[Arm, ...]
    step_s: Mapping[str, float]
    begin_s: Mapping[str, float]
    end_s: Mapping[str, float]
    hand_s: float
    spread: np.ndarray
    latent_bytes: int
    gone: str
    load: float = 0.5

    @property
    def reference_s(self) -> float:
        """The latency that counts as 1: the base member alone at its default steps."""
        base = base_member(self.family)
        return base.default_steps * self.step_s[base.name]


@dataclass(frozen=True, eq=False)
class Prior:
    """Pictures of some prompts by every arm, scored before the run: ``scores`` (prompts, arms)."""

    prompts: tuple[PromptFeatures, ...]
    scores: np.ndarray

    def inverted(self) -> Prior:
        """The best arm taken for the worst: each prompt's scores mirrored around their mean."""
        return Prior(self.prompts, np.clip(2.0 * self.scores.mean(axis=1, keepdims=True) - self.scores, 0.0, 1.0))


class Venue(Protocol):
    """Where a policy is put to work: the desk that asks, and the prior."""

    @property
    def desk(self) -> Desk: ...
    @property
    def prior(self) -> Prior: ...


@dataclass(frozen=True, eq=False)
class World:
    """Arrays are (jobs, arms) unless said otherwise. ``quality`` is expected, ``scored`` what a scorer would say;
    ``stages`` (jobs, arms, 2) are seconds, 0 where an arm has one stage; ``judged`` (jobs,) says whose quality is ever
    reported, ``late`` (jobs,) how many jobs later."""

    name: str
    desk: Desk
    texts: tuple[str, ...]
    asked: tuple[Asked, ...]
    waits: np.ndarray
    stages: np.ndarray
    latency: np.ndarray
    quality: np.ndarray
    scored: np.ndarray
    available: np.ndarray
    utility: np.ndarray
    judged: np.ndarray
    late: np.ndarray
    prior: Prior
    phases: Mapping[str, Span]

    @property
    def best(self) -> np.ndarray:
        """The utility of the best arm that was available, (jobs,)."""
        found: np.ndarray = np.where(self.available, self.utility, -np.inf).max(axis=1)
        return found

    @property
    def ranking(self) -> list[int]:
        """Arms by what each would have earned over the whole run, where it could run."""
        earned = np.where(self.available, self.utility, np.nan)
        order: list[int] = np.argsort(-np.nanmean(earned, axis=0), kind="stable").tolist()
        return order


def utilities(quality: np.ndarray, latency: np.ndarray, preference: np.ndarray, reference_s: float) -> np.ndarray:
    """The product's reward as arrays: w q - (1 - w) / 2 min(T / T_ref, 2)."""
    w = preference[:, None]
    found: np.ndarray = w * quality - (1.0 - w) * 0.5 * np.minimum(latency / reference_s, LATENCY_CAP)
    return found


def build(
    name: str,
    profile: Profile,
    jobs: workload.Jobs,
    quality: np.ndarray,
    scored: np.ndarray,
    prior: Prior,
    options: Options,
    rng: Generator,
) -> World:
    """Put latencies to qualities, and ask about every job."""
    count, arms = jobs.count, profile.arms
    shifts = options.shifts
    backlogs = _backlogs(profile, jobs, rng)
    waits, stages, moves = _latencies(profile, jobs, backlogs, options, rng)
    available = shifts.available(arms, profile.gone, count)
    desk = Desk(profile.family, arms, profile.latent_bytes, profile.reference_s)
    asked = tuple(
        desk.ask(i, float(jobs.at[i]), jobs.features[i], float(jobs.preference[i]), told, available[i])
        for i, told in enumerate(_announced(profile, jobs, backlogs, options))
    )
    latency = waits.sum(axis=2) + stages.sum(axis=2) + moves
    return World(
        name=name,
        desk=desk,
        texts=jobs.prompts,
        asked=asked,
        waits=waits[:, :, 0],
        stages=stages,
        latency=latency,
        quality=quality,
        scored=scored,
        available=available,
        utility=utilities(quality, latency, jobs.preference, profile.reference_s),
        judged=rng.random(count) < options.scored,
        late=np.rint(rng.exponential(options.delay_jobs, count)).astype(int),
        prior=prior,
        phases=shifts.phases(),
    )


@dataclass(frozen=True)
class Backlogs:
    """Seconds of work before each job on the edge and on its device, (jobs,), as announced; ``late`` is the factor by
    which the truth differs."""

    edge: np.ndarray
    device: np.ndarray
    late: np.ndarray


def _backlogs(profile: Profile, jobs: workload.Jobs, rng: Generator) -> Backlogs:
    edge = workload.background(rng, jobs.at, 0.4 * profile.reference_s, profile.load)
    # A device serves its own user: it is mostly idle, and else in the middle of one picture.
    busy = rng.random(jobs.count) < 0.15
    device = busy * rng.exponential(0.3 * profile.reference_s, jobs.count)
    return Backlogs(edge, device, np.exp(rng.normal(0.0, STALE_SD, jobs.count)))


def _announced(profile: Profile, jobs: workload.Jobs, backlogs: Backlogs, options: Options) -> list[Announced]:
    tiers = {member.name: member.tier for member in profile.family.spec.members}
    by_pool = [
        {
            name: seconds * (options.edge_profile if tiers[name] == "edge" else options.device_profile * slowness)
            for name, seconds in profile.step_s.items()
        }
        for slowness in workload.SLOWNESS
    ]
    return [
        Announced(
            step_s=by_pool[pool],
            edge_backlog_s=float(backlogs.edge[i]),
            device_backlog_s=float(backlogs.device[i]),
            rate=float(jobs.rate_seen[i]),
            rtt_s=float(jobs.rtt[i]),
            device_pool=workload.DEVICES[pool],
            device_slowness=workload.SLOWNESS[pool],
        )
        for i, pool in enumerate(jobs.device)
    ]


def _latencies(
    profile: Profile, jobs: workload.Jobs, backlogs: Backlogs, options: Options, rng: Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Waits and stages (jobs, arms, 2), and handoffs (jobs, arms), seconds in truth."""
    count, arms = jobs.count, profile.arms
    waits, stages = np.zeros((count, len(arms), 2)), np.zeros((count, len(arms), 2))
    moves = np.zeros((count, len(arms)))
    factor = {tier: options.shifts.factor(tier, count) for tier in ("edge", "device")}
    noise = {tier: rng.choice(profile.spread, count) for tier in ("edge", "device")}
    slowness = np.array(workload.SLOWNESS)[jobs.device]
    places = rng.normal(0.0, PLACE_TIME_SD, (len(profile.step_s), len(workload.SLOWNESS)))
    rows = {name: row for row, name in enumerate(profile.step_s)}
    link = jobs.rtt + profile.latent_bytes / jobs.rate * MOVE_FACTOR + profile.hand_s
    for k, arm in enumerate(arms):
        last = len(arm.parts) - 1
        for s, part in enumerate(arm.parts):
            tier = part.tier
            pool = jobs.device if tier == "device" else np.zeros(count, dtype=int)
            seconds = part.steps * profile.step_s[part.member] + profile.begin_s[tier]
            seconds += profile.end_s[tier] if s == last else 0.0
            own = np.exp(rng.normal(0.0, ARM_TIME_SD) + places[rows[part.member]][pool])
            machine = slowness if tier == "device" else 1.0
            stages[:, k, s] = seconds * machine * own * factor[tier] * noise[tier]
            backlog = backlogs.edge if tier == "edge" else backlogs.device
            waits[:, k, s] = backlog * backlogs.late * factor[tier]
        moves[:, k] = link * last
    return waits, stages, moves


def prior_table(prompts: Sequence[PromptFeatures], quality: np.ndarray, sd: float, rng: Generator) -> Prior:
    """Scores of ``quality`` (prompts, arms) with a scorer's deviation ``sd``."""
    return Prior(tuple(prompts), np.clip(quality + rng.normal(0.0, sd, quality.shape), 0.0, 1.0))
