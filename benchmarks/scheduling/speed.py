"""How long a decision takes inside the policy, the learned state and the question being at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice
from time import perf_counter_ns

import numpy as np

from benchmarks.scheduling.product import Composed, PaperLinUcb
from benchmarks.scheduling.replay import play
from benchmarks.scheduling.seam import EDGE_POOL
from benchmarks.scheduling.world import World
from rise_contracts.messages import Configure, Heartbeat, JobRequest, LinkQuality
from rise_contracts.resources import RelayJobSpec
from rise_scheduler.context import context_of, vector
from rise_scheduler.fleet import Fleet
from rise_scheduler.learned import Learned
from rise_scheduler.placing import place_arms
from rise_scheduler.policies import Policy, Question
from rise_scheduler.prompt import prompt_features

WORKERS = 20
WARM = 50


@dataclass(frozen=True)
class Speed:
    """Microseconds."""

    p50: float
    p99: float
    arms: int
    n: int


def choosing(policy: Policy, learned: Learned, questions: list[Question], count: int) -> Speed:
    """Time ``policy.choose`` over ``count`` questions, in turns, each with what was learned."""
    asked = [replace(question, learned=learned) for question in questions]
    taken = []
    for question in islice(cycle(asked), count + WARM):
        start = perf_counter_ns()
        policy.choose(question)
        taken.append(perf_counter_ns() - start)
    p50, p99 = np.quantile(np.array(taken[WARM:]) / 1000.0, [0.5, 0.99])
    return Speed(float(p50), float(p99), len(questions[0].candidates), count)


def questions(world: World, count: int, arms: int | None = None) -> list[Question]:
    """Jobs of ``world``, their arms placed by the product among 20 workers; only the first ``arms`` where that is
    said."""
    family = world.desk.family
    fleet = Fleet(_workers(world), {EDGE_POOL: 3.0})
    found = []
    for asked, text in zip(world.asked[:count], world.texts[:count], strict=True):
        spec = RelayJobSpec(family=family.metadata.name, prompt=text, preference=asked.question.preference)
        request = JobRequest(job_id=f"j{asked.job}", spec=spec, seed=asked.job, accepted_at=asked.at)
        configure = Configure(request=request, attempt=1)
        prompt = prompt_features(text)
        candidates, _ = place_arms(world.desk.arms, configure, family, fleet, asked.question.learned.posterior)
        found.append(
            replace(
                asked.question,
                candidates=candidates[:arms],
                x=vector(context_of(prompt, spec.preference, fleet)),
                prompt=prompt,
                draw=f"{asked.job}",
            )
        )
    return found


def experienced(ours: Composed, paper: PaperLinUcb, world: World) -> Learned:
    """What both have learned from the jobs of ``world``."""
    play(ours, world)
    play(paper, world)
    return Learned(paper.posterior, ours.known)


def _workers(world: World) -> tuple[Heartbeat, ...]:
    """A quarter of them on the edge; every member is loaded and measured."""
    members = world.desk.family.spec.members
    found = []
    for index in range(WORKERS):
        tier = "edge" if index % 4 == 0 else "device"
        own = {member.name: 0.1 + 0.01 * index for member in members if member.tier == tier}
        found.append(
            Heartbeat(
                worker=f"{tier}-{index}",
                tier=tier,
                pool=tier,
                pid=1,
                at=0.0,
                members=tuple(own),
                seconds_per_step=own,
                busy_jobs=("other",) * (index % 3 == 0),
                link=LinkQuality(rtt_s=0.01, bytes_per_s=2e6),
            )
        )
    return tuple(found)
