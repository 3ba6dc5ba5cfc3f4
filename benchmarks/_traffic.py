"""Many RelayJobs: made at once, followed by one watch to their end, and held against what they must have become."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks._idle_stage import digest_of
from rise_operator.api import RELAY_JOBS, Api
from tests.kube.api import Api as WatchApi

Object = dict[str, Any]


@dataclass(slots=True)
class Followed:
    """One job, as the watch told of it; times are of this process's clock.

    Attributes:
        applied: when the API server had taken it.
        scheduled: when its condition Scheduled was first seen true.
        complete: when Complete was.
        seed: its picture follows from it.
        story: the statuses there were, as (phase, digest of the result), each told once.
    """

    seed: int
    applied: float | None = None
    scheduled: float | None = None
    complete: float | None = None
    picture: str = ""
    story: list[tuple[str, str]] = field(default_factory=list)

    @property
    def lost(self) -> bool:
        """Whether it did not end Complete, once, with its own picture."""
        ends = [(phase, digest) for phase, digest in self.story if phase in ("Complete", "Failed") or digest]
        return ends != [("Complete", self.picture)] or self.story[-1] != ends[0] or not self.picture


class Ledger:
    """All the jobs by name."""

    def __init__(self, names: Iterable[str]) -> None:
        self.jobs = {name: Followed(seed) for seed, name in enumerate(names)}
        self.done = asyncio.Event()
        self._left = set(self.jobs)

    def seen(self, body: Object, now: float) -> None:
        """Take in one event of the watch."""
        name, status = body["metadata"]["name"], body.get("status") or {}
        job = self.jobs.get(name)
        if job is None or not status:
            return
        true = {condition["type"] for condition in status["conditions"] if condition["status"] == "True"}
        if "Scheduled" in true and job.scheduled is None:
            job.scheduled = now
        if "Complete" in true and job.complete is None:
            job.complete = now
            job.picture = digest_of(job.seed, tuple(stage["steps"] for stage in status["stages"]))
        told = (status["phase"], (status.get("result") or {}).get("digest", ""))
        if not job.story or job.story[-1] != told:
            job.story.append(told)
        if true & {"Complete", "Failed"}:
            self._left.discard(name)
            if not self._left:
                self.done.set()

    def waits(self, until: str) -> list[float]:
        """Milliseconds from the API server's answer to when `until` (scheduled, complete) was seen, of those that got
        so far."""
        ends = [(job.applied, getattr(job, until)) for job in self.jobs.values()]
        return [1e3 * max(0.0, end - began) for began, end in ends if began is not None and end is not None]

    @property
    def lost(self) -> list[str]:
        """Those that did not end as they must."""
        return [name for name, job in self.jobs.items() if job.lost]


def manifest(name: str, seed: int, family: str) -> Object:
    """A job that leaves everything to the scheduler."""
    return {
        "apiVersion": RELAY_JOBS.version,
        "kind": "RelayJob",
        "metadata": {"name": name},
        "spec": {"family": family, "prompt": "a small red circle above a large blue square", "seed": seed},
    }


@asynccontextmanager
async def followed(kubeconfig: Path, namespace: str, ledger: Ledger) -> AsyncIterator[None]:
    """Have `ledger` see every change of the namespace's jobs."""
    path = RELAY_JOBS.path(namespace)
    async with WatchApi(kubeconfig) as api:
        version = (await api.call("GET", f"{path}?limit=1"))["metadata"]["resourceVersion"]
        watching = asyncio.create_task(_follow(api, path, version, ledger))
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


async def _follow(api: WatchApi, path: str, version: str, ledger: Ledger) -> None:
    while True:
        async for _, body in api.watch(f"{path}?", version):
            version = body["metadata"]["resourceVersion"]
            ledger.seen(body, time.perf_counter())


async def apply(api: Api, namespace: str, family: str, ledger: Ledger, connections: int) -> None:
    """Make all jobs, over as many connections; each notes when it was taken."""
    waiting = iter(ledger.jobs.items())

    async def one_after_another() -> None:
        for name, job in waiting:
            await api.create(RELAY_JOBS, namespace, manifest(name, job.seed, family))
            job.applied = time.perf_counter()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_after_another())


async def write_raw(
    api: Api, namespace: str, family: str, names: Sequence[str], statuses: Sequence[Object], connections: int
) -> float:
    """Make as many jobs, and write each of `statuses` into each of them, as fast as this client can; the seconds."""
    waiting = iter(enumerate(names))

    async def one_after_another() -> None:
        for seed, name in waiting:
            there = await api.create(RELAY_JOBS, namespace, manifest(name, seed, family))
            for status in statuses:
                body = {"metadata": {"resourceVersion": there["metadata"]["resourceVersion"]}, "status": status}
                there = await api.merge(RELAY_JOBS, namespace, name, body, subresource="status")

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_after_another())
    return time.perf_counter() - began
