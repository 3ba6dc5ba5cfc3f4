"""The closed loop: an event simulation in which a policy's own choices make the queues that its next jobs meet.

Two edge accelerators pull from one queue, first come first served, and so do the devices of each pool. What a policy is
told comes the product's own way: heartbeats of the last whole second, dead reckoning of what was sent since, the arms
placed among these workers by the product.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from benchmarks.scheduling import synthetic, workload
from benchmarks.scheduling.seam import EDGE_POOL, Asked, Desk, News, Player
from benchmarks.scheduling.shifts import Options, Shifts
from benchmarks.scheduling.synthetic import Draw
from benchmarks.scheduling.told import Platform, Seen
from benchmarks.scheduling.world import ARM_TIME_SD, MOVE_FACTOR, PLACE_TIME_SD, Prior, utilities

EDGES, DEVICES_EACH = 2, 12
OVER_S = 10.0


@dataclass(frozen=True)
class Load:
    """How jobs come: ``rate`` per second, with coefficient of variation ``cv``."""

    rate: float
    cv: float
    jobs: int = 2400


@dataclass(frozen=True)
class Result:
    """Of one run: the mean utility, quantiles of latency in seconds, the share of jobs over ten seconds, the share of
    their time that the edge's accelerators worked."""

    utility: float
    p50_s: float
    p95_s: float
    p99_s: float
    over: float
    edge_busy: float


@dataclass
class Pool:
    """Workers of one kind and their queue."""

    workers: int
    queue: deque[int] = field(default_factory=deque)
    busy: int = 0


@dataclass
class Job:
    """One under way: its candidate, and what has been measured so far."""

    asked: Asked
    place: int
    began: float = math.nan
    stages: list[float] = field(default_factory=list)


class Loop:
    """One run of one player, which is made for this loop as a venue."""

    def __init__(self, seed: int, load: Load) -> None:
        self._rng = np.random.default_rng([seed, 3])
        still = Shifts(edge=(1.15, 1.15), device=(1.25, 1.25), network=(1.0, 1.0))
        self._options = Options(jobs=load.jobs, shifts=still)
        self._draw: Draw = synthetic.draw(self._options, self._rng, rate=load.rate, cv=load.cv)
        profile, jobs = self._draw.profile, self._draw.jobs
        self.desk = Desk(profile.family, profile.arms, profile.latent_bytes, profile.reference_s)
        self.quality = self._draw.truth.quality(self._draw.hard)
        self.scored = np.clip(self.quality + self._rng.normal(0.0, 0.1, self.quality.shape), 0.0, 1.0)
        self._judged = self._rng.random(jobs.count) < self._options.scored
        self._late = self._rng.exponential(self._options.delay_jobs / load.rate, jobs.count)
        self._noise = {tier: self._rng.choice(profile.spread, jobs.count) for tier in ("edge", "device")}
        arms, pools = len(profile.arms), len(workload.DEVICES)
        self._off_arm = np.exp(self._rng.normal(0.0, ARM_TIME_SD, (arms, 2)))
        self._off_place = {name: np.exp(self._rng.normal(0.0, PLACE_TIME_SD, pools)) for name in profile.step_s}
        self._platform = Platform(self.desk, profile)
        self._pools = {EDGE_POOL: Pool(EDGES)} | {name: Pool(DEVICES_EACH) for name in workload.DEVICES}
        self._jobs: dict[int, Job] = {}
        self._events: list[tuple[float, int, str, int, News | None]] = []
        self._count = 0
        self._worked = 0.0

    @property
    def prior(self) -> Prior:
        return self._draw.prior

    def run(self, player: Player) -> Result:
        """Until every job has ended."""
        jobs = self._draw.jobs
        latency, arms = np.zeros(jobs.count), np.zeros(jobs.count, dtype=int)
        for index, at in enumerate(jobs.at):
            self._at(float(at), "arrives", index)
        while self._events:
            now, _, kind, index, news = heapq.heappop(self._events)
            self._platform.pass_until(now, self._pools)
            if kind == "arrives":
                self._decide(player, index, now)
            elif kind == "told" and news is not None:
                player.learn(news)
            elif kind == "queued":
                self._enqueue(index, now)
            elif self._ended(index, now):
                job = self._jobs[index]
                latency[index], arms[index] = now - jobs.at[index], job.asked.arms[job.place]
                self._report(index, now)
        rows = np.arange(jobs.count)
        utility = utilities(self.quality[rows, arms][:, None], latency[:, None], jobs.preference, self.desk.reference_s)
        middle, high, highest = np.quantile(latency, [0.5, 0.95, 0.99])
        span = float((jobs.at + latency).max())
        return Result(
            float(utility.mean()),
            float(middle),
            float(high),
            float(highest),
            float((latency > OVER_S).mean()),
            self._worked / (EDGES * span),
        )

    def _at(self, when: float, kind: str, index: int, news: News | None = None) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, kind, index, news))

    def _decide(self, player: Player, index: int, now: float) -> None:
        jobs = self._draw.jobs
        seen = Seen(
            index=index,
            at=now,
            prompt=jobs.prompts[index],
            features=jobs.features[index],
            preference=float(jobs.preference[index]),
            pool=int(jobs.device[index]),
            rate=float(jobs.rate_seen[index]),
            rtt_s=float(jobs.rtt[index]),
        )
        asked = self._platform.ask(seen)
        chosen = player.choose(asked)
        self._platform.sent(seen, asked, chosen.place)
        self._jobs[index] = Job(asked, chosen.place)
        self._enqueue(index, now)

    def _enqueue(self, index: int, now: float) -> None:
        job = self._jobs[index]
        name = job.asked.question.candidates[job.place].places[len(job.stages)].pool
        self._pools[name].queue.append(index)
        self._start(name, now)

    def _start(self, name: str, now: float) -> None:
        pool = self._pools[name]
        while pool.queue and pool.busy < pool.workers:
            index = pool.queue.popleft()
            job = self._jobs[index]
            if not job.stages:
                job.began = now
            seconds = self._seconds(index, job)
            job.stages.append(seconds)
            pool.busy += 1
            if name == EDGE_POOL:
                self._worked += seconds
            self._at(now + seconds, "ends", index)

    def _ended(self, index: int, now: float) -> bool:
        """A stage has ended: its worker takes the next task, and the job goes on. Whether it was the job's last."""
        job = self._jobs[index]
        candidate = job.asked.question.candidates[job.place]
        name = candidate.places[len(job.stages) - 1].pool
        self._pools[name].busy -= 1
        self._start(name, now)
        if len(job.stages) == len(candidate.arm.parts):
            return True
        self._at(now + self._move(index), "queued", index)
        return False

    def _seconds(self, index: int, job: Job) -> float:
        profile, jobs, shifts = self._draw.profile, self._draw.jobs, self._options.shifts
        candidate, stage = job.asked.question.candidates[job.place], len(job.stages)
        part, tier = candidate.arm.parts[stage], candidate.tiers[stage]
        arm, pool = int(job.asked.arms[job.place]), int(jobs.device[index])
        last = stage == len(candidate.arm.parts) - 1
        plain = part.steps * profile.step_s[part.member] + profile.begin_s[tier] + last * profile.end_s[tier]
        hidden = shifts.edge[0] if tier == "edge" else shifts.device[0] * workload.SLOWNESS[pool]
        off = self._off_place[part.member][pool if tier == "device" else 0] * self._off_arm[arm, min(stage, 1)]
        return float(plain * hidden * off * self._noise[tier][index])

    def _move(self, index: int) -> float:
        profile, jobs = self._draw.profile, self._draw.jobs
        return float(jobs.rtt[index] + profile.latent_bytes / jobs.rate[index] * MOVE_FACTOR + profile.hand_s)

    def _report(self, index: int, now: float) -> None:
        """The outcome is known at once, a judgement later, where there is one."""
        job, at = self._jobs[index], float(self._draw.jobs.at[index])
        self._platform.over(index)
        arm = int(job.asked.arms[job.place])

        def news(quality: float | None) -> News:
            return News(
                job.asked, job.place, now - at, job.began - at, tuple(job.stages), quality, first=quality is None
            )

        self._at(now, "told", index, news(None))
        if self._judged[index]:
            self._at(now + float(self._late[index]), "told", index, news(float(self.scored[index, arm])))
