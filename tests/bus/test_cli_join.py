"""`rise join`: a machine of somebody's becomes a device of a platform, for as long as its owner likes."""

from __future__ import annotations

from pathlib import Path

from rise_contracts.configuration import Configuration
from rise_runtime import layout
from rise_runtime.bus import Bus
from rise_runtime.heartbeat import Workers
from tests.bus import cli
from tests.bus.joining import draws, joined, make_known
from tests.bus.runtime import small
from tests.servers import Server

TAIL = Configuration(arm="small:4", stages=(small.stage(0, "phones", last=True, worker="ada-phone"),))


async def test_a_device_joins_works_and_leaves(nats_server: Server, bus: Bus, tmp_path: Path) -> None:
    await layout.ensure(bus)
    home = cli.Home(tmp_path / "home")
    home.environment["RISE_NATS_TOKEN"] = nats_server.token
    await make_known(bus, home)
    asked = ("--pool", "phones", "--label", "owner=ada", "--private")
    async with small.driver(bus), small.scheduler(bus, TAIL), joined(bus, home, nats_server.url, "ada-phone", *asked):
        (beat,) = await Workers(bus).now()
        assert (beat.tier, beat.pool, beat.private, beat.labels) == ("device", "phones", True, {"owner": "ada"})
        await draws(bus, "ada-phone")
    assert await Workers(bus).now() == ()


def test_there_must_be_a_platform_to_join(tmp_path: Path) -> None:
    said = cli.Home(tmp_path / "home").rise("join", "--name", "ada-phone")
    assert said.code == 7
    assert "rise up" in said.one_line()
