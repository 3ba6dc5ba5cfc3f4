"""Many jobs while everything dies: each ends once, in the right picture."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from rise_contracts import messages, subjects
from rise_contracts.records import JobState
from rise_runtime import client, layout, streams
from rise_runtime.bus import Bus
from tests.bus.runtime import small
from tests.servers import Server

JOBS = 12
PATIENT = dataclasses.replace(small.QUICK_DRIVER, grace_s=60.0)


async def test_no_job_is_lost_and_none_ends_twice(bus: Bus, nats_server: Server, tmp_path: Path) -> None:
    await layout.ensure(bus)
    (tmp_path / "hold-1").touch()
    processes = [
        await small.WorkerProcess.start(nats_server.url, nats_server.token, name, tmp_path)
        for name in ("edge-1", "device-1")
    ]
    try:
        async with small.scheduler(bus):
            async with small.driver(bus, PATIENT):
                jobs = [
                    await client.submit(bus, small.spec(seed=seed, idempotency_key=f"key-{seed}"))
                    for seed in range(JOBS)
                ]
                await small.until((tmp_path / "held-1-device-1").exists)
                await processes[1].kill()  # in mid-tail
            nats_server.kill()  # no driver is there, and heads are under way
            nats_server.start()
            (tmp_path / "hold-1").unlink()
            async with small.driver(bus, PATIENT), small.driver(bus, PATIENT):  # two drivers do no harm
                again = await client.submit(bus, small.spec(seed=0, idempotency_key="key-0"))
                assert again.job_id == jobs[0].job_id
                processes.append(
                    await small.WorkerProcess.start(nats_server.url, nats_server.token, "device-2", tmp_path)
                )
                await asyncio.wait_for(_all_complete(bus, [job.job_id for job in jobs]), 120)
        for seed, job in enumerate(jobs):
            result = await client.fetch_result(bus, job.job_id)
            assert result.images == (small.expected(seed),)
    finally:
        for process in processes:
            await process.kill()
    assert len(await client.list_jobs(bus)) == JOBS
    outcomes = await small.outcomes(bus, JOBS)
    assert sorted(outcome.job_id for outcome in outcomes) == sorted(job.job_id for job in jobs)
    for pool in ("edge", "device"):
        assert await streams.count(bus, subjects.work_stream(pool), subjects.work_stream_subjects(pool)) == 0


async def _all_complete(bus: Bus, job_ids: list[str]) -> None:
    for job_id in job_ids:
        assert isinstance(await client.wait(bus, job_id), messages.JobDone)
        await small.record_is(bus, job_id, JobState.COMPLETE)
