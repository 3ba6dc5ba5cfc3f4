"""The check of one picture where there is a bus and nothing else: it ends in time, and says what is missing."""

from __future__ import annotations

import pytest

from rise_contracts.errors import BusUnavailable, Waited
from rise_contracts.records import JobState
from rise_runtime import client, layout
from rise_runtime.bus import Bus
from rise_stage import smoke
from tests.servers import Server

PROMPT = "a large red circle"


async def test_no_picture_in_time_is_told_with_why_and_the_job_goes(bus: Bus, nats_server: Server) -> None:
    await layout.ensure(bus)
    with pytest.raises(Waited, match=r"within 1 s; the job was Pending: .*; workers: none"):
        await smoke.run(nats_server.url, nats_server.token, PROMPT, 7, 1.0)
    (left,) = await client.list_jobs(bus)
    assert (await client.get_job(bus, left.job_id)).state is JobState.CANCELLED


async def test_no_bus_is_told_at_once(nats_server: Server) -> None:
    url = nats_server.url
    nats_server.stop()
    with pytest.raises(BusUnavailable):
        await smoke.run(url, nats_server.token, PROMPT, 7, 0.1)
