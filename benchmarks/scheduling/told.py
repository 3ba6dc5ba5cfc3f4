"""What the platform of the closed loop tells of itself, by the product's own code: heartbeats, dead reckoning,
places."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from benchmarks.scheduling import workload
from benchmarks.scheduling.seam import EDGE_POOL, Announced, Asked, Desk
from benchmarks.scheduling.world import Profile
from rise_contracts.decisions import Basis, DecisionRecord
from rise_contracts.messages import Configure, Decision, Heartbeat, JobRequest, LinkQuality
from rise_contracts.model import Tier
from rise_contracts.resources import RelayJobSpec
from rise_scheduler.context import context_of, vector
from rise_scheduler.fleet import Fleet
from rise_scheduler.placing import configuration_of, place_arms
from rise_scheduler.posterior import Posterior
from rise_scheduler.prompt import PromptFeatures
from rise_scheduler.reckoning import Reckoning

HEARTBEAT_S = 1.0
EDGE_RTT_S = 0.002
UNLEARNED = Posterior(())


class Queue(Protocol):
    """A pool: how many workers it has, how many are at work, what waits."""

    @property
    def workers(self) -> int: ...
    @property
    def busy(self) -> int: ...
    @property
    def queue(self) -> Sized: ...


@dataclass(frozen=True)
class Seen:
    """A job as it comes in; ``pool`` is an index into DEVICES, the link is what its device last said of it."""

    index: int
    at: float
    prompt: str
    features: PromptFeatures
    preference: float
    pool: int
    rate: float
    rtt_s: float


class Platform:
    """Heartbeats are of the last whole second; what was sent since is reckoned, as a scheduler process does."""

    def __init__(self, desk: Desk, profile: Profile) -> None:
        self._desk = desk
        self._edge_s, self._device_s = (
            {m.name: profile.step_s[m.name] for m in profile.family.spec.members if m.tier == tier}
            for tier in ("edge", "device")
        )
        self._spec = RelayJobSpec(family=profile.family.metadata.name, prompt="-")
        self._index = {arm.name: index for index, arm in enumerate(desk.arms)}
        self._reckoning = Reckoning()
        self._load: dict[str, tuple[int, int, int]] = {}
        self._tick = -1.0

    def pass_until(self, now: float, pools: Mapping[str, Queue]) -> None:
        """Take the heartbeats of every second that has begun since: nothing has changed between two events."""
        tick = math.floor(now / HEARTBEAT_S)
        if tick > self._tick:
            self._tick = tick
            self._load = {name: (pool.workers, pool.busy, len(pool.queue)) for name, pool in pools.items()}

    def ask(self, seen: Seen) -> Asked:
        """The question about a job, among the edge's workers and those of its own pool."""
        fleet = Fleet(self._heartbeats(seen), self._reckoning.backlogs(seen.at))
        question = self._question(seen)
        candidates, _ = place_arms(self._desk.arms, question, self._desk.family, fleet, UNLEARNED)
        indices = np.array([self._index[item.arm.name] for item in candidates])
        waits = {
            tier: min((c.forecast.waits[0] for c in candidates if c.tiers[0] == tier), default=0.0)
            for tier in ("edge", "device")
        }
        told = Announced(
            step_s={},
            edge_backlog_s=waits["edge"],
            device_backlog_s=waits["device"],
            rate=seen.rate,
            rtt_s=seen.rtt_s,
            device_pool=workload.DEVICES[seen.pool],
            device_slowness=workload.SLOWNESS[seen.pool],
        )
        x = vector(context_of(seen.features, seen.preference, fleet))
        return self._desk.put(seen.index, seen.at, seen.features, seen.preference, candidates, indices, told, x)

    def sent(self, seen: Seen, asked: Asked, place: int) -> None:
        """Take in what was decided."""
        candidate = asked.question.candidates[place]
        forecast = candidate.forecast
        basis = Basis(
            clock=0,
            features={},
            quality=candidate.quality,
            reference_s=asked.question.reference_s,
            stage_seconds=forecast.stage_seconds,
            waits=forecast.waits,
            moves=forecast.moves,
        )
        question, family = self._question(seen), self._desk.family
        decision = Decision(
            id=asked.id,
            job_id=question.request.job_id,
            arm=candidate.arm.name,
            configuration=configuration_of(candidate, question, family),
            policy="player",
        )
        record = DecisionRecord(
            decision=decision,
            family=family.metadata.name,
            attempt=1,
            images=1,
            preference=seen.preference,
            expected_quality=candidate.quality,
            basis=basis,
            at=seen.at,
        )
        self._reckoning.note(record)

    def over(self, index: int) -> None:
        """A job has ended."""
        self._reckoning.over(f"d{index}")

    def _question(self, seen: Seen) -> Configure:
        spec = self._spec.model_copy(update={"prompt": seen.prompt, "preference": seen.preference})
        request = JobRequest.model_construct(job_id=f"j{seen.index}", spec=spec, seed=seen.index, accepted_at=seen.at)
        return Configure.model_construct(request=request, attempt=1, avoid=())

    def _heartbeats(self, seen: Seen) -> tuple[Heartbeat, ...]:
        """Of each edge worker, and one for the devices of the pool, which together are as many slots."""
        name = workload.DEVICES[seen.pool]
        workers, busy, waiting = self._load[EDGE_POOL]
        edges = tuple(
            _heartbeat(f"edge-{i}", "edge", EDGE_POOL, self._edge_s, LinkQuality(rtt_s=EDGE_RTT_S), i < busy, waiting)
            for i in range(workers)
        )
        slots, at_work, queued = self._load[name]
        slow = workload.SLOWNESS[seen.pool]
        steps = {member: seconds * slow for member, seconds in self._device_s.items()}
        link = LinkQuality(rtt_s=seen.rtt_s, bytes_per_s=seen.rate)
        device = _heartbeat(f"{name}-0", "device", name, steps, link, at_work, queued, slots)
        return (*edges, device)


def _heartbeat(
    worker: str,
    tier: Tier,
    pool: str,
    steps: Mapping[str, float],
    link: LinkQuality,
    busy: int,
    waiting: int,
    slots: int = 1,
) -> Heartbeat:
    return Heartbeat.model_construct(
        worker=worker,
        pid=1,
        at=0.0,
        tier=tier,
        pool=pool,
        members=tuple(steps),
        seconds_per_step=dict(steps),
        busy_jobs=("job",) * int(busy),
        slots=slots,
        gain=float(slots),
        queue_depth=waiting,
        link=link,
    )
