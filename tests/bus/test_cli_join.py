"""`rise join`: a machine of somebody's becomes a device of a platform, for as long as its owner likes."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from rise_contracts import codec, manifest, messages, subjects
from rise_contracts.configuration import Configuration
from rise_runtime import client, layout
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.heartbeat import Workers
from tests.bus import cli
from tests.bus.runtime import small
from tests.servers import Server

TAIL = Configuration(arm="small:4", stages=(small.stage(0, "phones", last=True, worker="ada-phone"),))


async def test_a_device_joins_works_and_leaves(nats_server: Server, bus: Bus, tmp_path: Path) -> None:
    await layout.ensure(bus)
    home = cli.Home(tmp_path / "home")
    home.environment["RISE_NATS_TOKEN"] = nats_server.token
    family = manifest.load_family(home.family.read_text(), "family")
    await Bucket(bus, subjects.KV_FAMILIES).put(family.metadata.name, codec.encode(family))
    asked = ("--name", "ada-phone", "--pool", "phones", "--label", "owner=ada", "--private")
    async with small.driver(bus), small.scheduler(bus, TAIL):
        joined = home.start("join", "--nats", nats_server.url, *asked, "--family", str(home.family))
        try:
            await Workers(bus).until_ready(["ada-phone"], 60.0, "see its log")
            (beat,) = await Workers(bus).now()
            assert (beat.tier, beat.pool, beat.private, beat.labels) == ("device", "phones", True, {"owner": "ada"})
            job = await client.submit(bus, small.spec("a red circle"))
            done = await client.wait(bus, job.job_id)
            assert isinstance(done, messages.JobDone), done
            assert done.worker == "ada-phone"
        finally:
            joined.send_signal(signal.SIGTERM)
            said = await asyncio.to_thread(cli.ended, joined)
            assert said.code == 0, said.err
    assert await Workers(bus).now() == ()


def test_there_must_be_a_platform_to_join(tmp_path: Path) -> None:
    said = cli.Home(tmp_path / "home").rise("join", "--name", "ada-phone")
    assert said.code == 7
    assert "rise up" in said.one_line()
