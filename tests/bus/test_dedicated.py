"""Workers that are there for one job: the scheduler, a driver and workers over a real nats-server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from rise_contracts import messages
from rise_contracts.model import Tier
from rise_contracts.records import JobRecord, JobState, Waiting
from rise_contracts.resources import RelayJobSpec
from rise_contracts.tenants import dedicated_on_bus
from rise_runtime import client, layout
from rise_runtime.bus import Bus
from rise_runtime.families import Families
from rise_runtime.jobs import Jobs
from rise_runtime.seam import Identity
from rise_runtime.worker import run_worker
from tests.bus.runtime import small
from tests.bus.scheduler_world import replica
from tests.servers import Server
from tests.unit.scheduler.builders import family

HOME = "rise"
TIERS: tuple[Tier, Tier] = ("edge", "device")


@asynccontextmanager
async def working(bus: Bus, folder: Path, *identities: Identity) -> AsyncIterator[None]:
    """These workers, each ready."""
    stop, tasks = asyncio.Event(), []
    for identity in identities:
        ready = asyncio.Event()
        work = run_worker(bus, identity, small.Hasher(folder), stop=stop, settings=small.QUICK, on_ready=ready.set)
        tasks.append(asyncio.create_task(work))
        await asyncio.wait_for(ready.wait(), 60)
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


def own(job_id: str, namespace: str = HOME, name: str = "") -> list[Identity]:
    """The workers of a job, as the operator makes them after pools of a namespace: all in the same two pools."""
    return [
        Identity(f"{name or job_id}-{tier}", tier, dedicated_on_bus(namespace, tier, HOME), dedicated=job_id)
        for tier in TIERS
    ]


SHARED = [Identity(f"{tier}-1", tier, tier) for tier in TIERS]


async def submit(bus: Bus, job_id: str, namespace: str = "", **fields: object) -> None:
    """A job under an id that was chosen before, as the operator chooses it."""
    spec = RelayJobSpec.model_validate({"prompt": "a red circle", **fields})
    owner = messages.Owner(namespace=namespace, name=job_id, uid=job_id, controller="rise") if namespace else None
    request = messages.JobRequest(job_id=job_id, spec=spec, seed=7, accepted_at=0.0, owner=owner)
    await Jobs(bus).create(JobRecord(request=request))


async def workers_of(bus: Bus, job_id: str) -> set[str]:
    """Who did the stages of a job."""
    ending = await asyncio.wait_for(client.wait(bus, job_id), 60)
    assert isinstance(ending, messages.JobDone), ending
    return {report.worker for report in ending.stages}


@pytest.fixture
async def platform(bus: Bus, nats_server: Server) -> AsyncIterator[None]:
    """A scheduler and a driver."""
    await layout.ensure(bus)
    await Families(bus).publish(family())
    async with replica(nats_server), small.driver(bus, small.PATIENT):
        yield


@pytest.mark.usefixtures("platform")
async def test_each_job_is_done_by_its_own_workers_and_no_other_by_them(bus: Bus, tmp_path: Path) -> None:
    async with working(bus, tmp_path, *SHARED, *own("job-a"), *own("job-b")):
        jobs = {"job-a": {"placement": "Dedicated"}, "job-b": {"placement": "Dedicated"}, "job-c": {}, "job-d": {}}
        for job_id, fields in jobs.items():
            await submit(bus, job_id, **fields)
        done = {job_id: await workers_of(bus, job_id) for job_id in jobs}
    for job_id in ("job-a", "job-b"):
        assert done[job_id] <= {f"{job_id}-edge", f"{job_id}-device"}
    for job_id in ("job-c", "job-d"):
        assert done[job_id] <= {"edge-1", "device-1"}


@pytest.mark.usefixtures("platform")
async def test_a_job_whose_workers_are_not_there_yet_waits_for_them(bus: Bus, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(working(bus, tmp_path, *SHARED, *own("job-b")))
        await submit(bus, "job-a", placement="Dedicated")
        async with asyncio.timeout(60):
            async for record in client.watch_job(bus, "job-a"):
                if record.waiting_reason is Waiting.NO_CONFIGURATION:
                    break
        assert "no edge worker is ready" in record.waiting_message
        await stack.enter_async_context(working(bus, tmp_path, *own("job-a")))
        assert await workers_of(bus, "job-a") <= {"job-a-edge", "job-a-device"}


@pytest.mark.usefixtures("platform")
async def test_a_job_that_may_go_anywhere_does_not_go_to_them(bus: Bus, tmp_path: Path) -> None:
    async with working(bus, tmp_path, *own("job-a")):
        await submit(bus, "job-c")
        async with asyncio.timeout(60):
            async for record in client.watch_job(bus, "job-c"):
                if record.waiting_reason is Waiting.NO_CONFIGURATION:
                    break
        assert record.state is JobState.PENDING


@pytest.mark.usefixtures("platform")
async def test_who_claims_to_be_there_for_a_job_of_another_tenant_is_sent_nothing_of_it(
    bus: Bus, tmp_path: Path
) -> None:
    """A worker says itself for which job it is there; the name of its pool is not for it to choose."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(working(bus, tmp_path, *SHARED, *own("job-a", "team-b", name="aaa")))
        await submit(bus, "job-a", "team-a", placement="Dedicated")
        async with asyncio.timeout(60):
            async for record in client.watch_job(bus, "job-a"):
                if record.waiting_reason is Waiting.NO_CONFIGURATION:
                    break
        await stack.enter_async_context(working(bus, tmp_path, *own("job-a", "team-a")))
        assert await workers_of(bus, "job-a") <= {"job-a-edge", "job-a-device"}
