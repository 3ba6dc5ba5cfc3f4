"""`rise run --nats URL`: a server of somebody else's gets what it lacks, and keeps nothing of it."""

from __future__ import annotations

from pathlib import Path

from rise_runtime import client
from rise_runtime.bus import Bus
from tests.bus import cli
from tests.servers import Server

PROMPT = "a small red circle above a large blue square"


async def test_a_bare_server_gets_a_scheduler_workers_and_a_driver(
    nats_server: Server, bus: Bus, tmp_path: Path
) -> None:
    home = cli.Home(tmp_path / "home")
    home.environment["RISE_NATS_TOKEN"] = nats_server.token
    report = home.run(PROMPT, "--nats", nats_server.url, "--no-baseline", "--fixed", "small:2", "--json").json()
    assert report["runs"][0]["pictures"][0]["verdict"]["ok"] is True
    assert report["runs"][0]["stages"][0]["worker"].startswith("device-1-")
    home.assert_clean()
    # What was asked for stays where it was asked for; whoever worked has said goodbye.
    (record,) = await client.list_jobs(bus)
    assert record.job_id == report["runs"][0]["job"]
    assert await client.list_workers(bus) == ()
