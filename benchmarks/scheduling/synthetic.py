"""The synthetic world of a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from benchmarks.scheduling import prompts, synthetic_family, workload, world
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.truth import Truth, difficulty
from benchmarks.scheduling.world import Prior, Profile, World
from rise_scheduler.arms import canonical_arms
from rise_scheduler.prompt import prompt_features

LATENT_BYTES = 131_072
"""Four channels of 128 x 128 at two bytes: a picture of 1024 x 1024."""
JOBS_PER_REFERENCE = 1.2
"""Jobs come at this rate per reference latency: one every four seconds."""


def profile() -> Profile:
    """The family on the edge's accelerators and on its users' devices."""
    family = synthetic_family.family()
    return Profile(
        family=family,
        arms=canonical_arms(family),
        step_s=synthetic_family.STEP_S,
        begin_s={"edge": 0.05, "device": 0.08},
        end_s={"edge": 0.10, "device": 0.25},
        hand_s=0.03,
        spread=np.exp(np.random.default_rng(5).normal(-0.0032, 0.08, 4096)),
        latent_bytes=LATENT_BYTES,
        gone="half",
    )


@dataclass(frozen=True, eq=False)
class Draw:
    """What a seed makes of the family: the jobs, how hard each is, the hidden quality, and the prior."""

    profile: Profile
    jobs: workload.Jobs
    hard: np.ndarray
    truth: Truth
    prior: Prior


def draw(options: Options, rng: Generator, *, rate: float, cv: float) -> Draw:
    """Jobs that come at ``rate`` per second with coefficient of variation ``cv``, and all that is hidden."""
    setting = profile()
    jobs = workload.jobs(rng, options.jobs, rate=rate, cv=cv, change_at=options.shifts.network[0])
    truth = Truth.draw(setting.arms, rng)
    hard = difficulty(jobs.features, jobs.prompts, rng)
    texts = prompts.draw(rng, options.prior_prompts)
    features = [prompt_features(text) for text in texts]
    before = truth.quality(difficulty(features, texts, rng))
    return Draw(setting, jobs, hard, truth, world.prior_table(features, before, options.scorer_sd, rng))


def make(seed: int, options: Options) -> World:
    """The same seed and options, the same world."""
    rng = np.random.default_rng([seed, 1])
    drawn = draw(options, rng, rate=JOBS_PER_REFERENCE / profile().reference_s, cv=1.0)
    shifts, jobs = options.shifts, drawn.jobs
    quality = drawn.truth.quality(drawn.hard, shifts.drop * shifts.within(shifts.quality_drop, jobs.count))
    scored = np.clip(quality + rng.normal(0.0, options.scorer_sd, quality.shape), 0.0, 1.0)
    return world.build("synthetic", drawn.profile, jobs, quality, scored, drawn.prior, options, rng)
