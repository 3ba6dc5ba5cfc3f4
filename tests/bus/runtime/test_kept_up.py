"""A job driver that ends while the platform stays up is followed by another."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from rise_contracts import errors, messages
from rise_runtime import client, layout
from rise_runtime.bus import Bus
from rise_runtime.driver import run_driver
from rise_runtime.together import kept_up
from tests.bus.runtime import small


@pytest.mark.parametrize("end", [errors.DiskFull("the NATS store"), ValueError("a bug")], ids=["full", "bug"])
async def test_a_driver_that_ends_is_followed_by_another(end: Exception, bus: Bus, tmp_path: Path) -> None:
    await layout.ensure(bus)
    drivers = 0

    async def drive(bus: Bus) -> None:
        nonlocal drivers
        drivers += 1
        if drivers == 1:
            raise end
        await run_driver(bus, settings=small.QUICK_DRIVER)

    driving = asyncio.create_task(kept_up(bus, drive, "the job driver"))
    try:
        async with small.scheduler(bus), small.worker(bus, "edge-1", tmp_path), small.worker(bus, "device-1", tmp_path):
            job = await client.submit(bus, small.spec(seed=2))
            assert isinstance(await client.wait(bus, job.job_id), messages.JobDone)
    finally:
        driving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await driving
    assert drivers == 2


async def test_without_a_connection_there_is_nothing_to_drive(bus: Bus) -> None:
    await bus.close()
    with pytest.raises(errors.BusUnavailable):
        await kept_up(bus, run_driver, "the job driver")
