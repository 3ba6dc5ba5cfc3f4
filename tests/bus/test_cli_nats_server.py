"""A nats-server of our own: loopback, random port, token."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil
import pytest

from rise_cli.local import nats_server, platform
from rise_cli.local.platform import Plan
from rise_cli.local.supervisor import Supervisor
from rise_contracts import errors, subjects
from rise_runtime import bus as buses
from rise_runtime import layout
from rise_runtime.buckets import Bucket
from tests.servers import Server


async def test_it_listens_on_loopback_and_wants_its_token(tmp_path: Path) -> None:
    supervisor = Supervisor()
    server = await platform.start_nats(Plan(), supervisor, tmp_path, tmp_path / "js", tmp_path)
    try:
        assert server.url.startswith("nats://127.0.0.1:")
        async with buses.connect(server.url, server.token) as bus:
            assert bus.connected
        with pytest.raises(errors.BusUnavailable, match="does not accept this token"):
            await buses.open_bus(server.url, "wrong")
        assert server.token
        process = psutil.Process(supervisor.pids()["nats-server"])
        assert server.token not in " ".join(process.cmdline())
        assert (tmp_path / "nats.conf").stat().st_mode & 0o777 == 0o600
    finally:
        await supervisor.stop(10.0)


async def test_a_restarted_server_is_where_it_was(tmp_path: Path) -> None:
    supervisor = Supervisor()
    server = await platform.start_nats(Plan(), supervisor, tmp_path, tmp_path / "js", tmp_path)
    supervisor.keep()
    try:
        os.kill(supervisor.pids()["nats-server"], 9)
        async with buses.connect(server.url, server.token, patience=30.0) as bus:
            assert bus.connected
    finally:
        await supervisor.stop(10.0)


async def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        supervisor = Supervisor()
        with pytest.raises(errors.InvalidInput, match="--port: wanted a free port"):
            await platform.start_nats(Plan(port=port), supervisor, tmp_path, tmp_path / "js", tmp_path)
        await supervisor.stop(10.0)


def test_a_disk_without_room_is_told_before_the_server_starts(tmp_path: Path) -> None:
    assert platform.roomy(tmp_path / "js", least=0).is_dir()
    with pytest.raises(errors.DiskFull, match="MiB of room for the queues, got"):
        platform.roomy(tmp_path / "js", least=2**62)


async def test_a_store_that_was_written_with_a_key_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """nats-server starts on it, and throws away what it cannot read where it is to be made."""
    server = Server(tmp_path)
    server.key = "one"
    server.start()
    async with buses.connect(server.url, server.token, patience=10.0) as bus:
        await layout.ensure(bus)
        await Bucket(bus, subjects.KV_JOBS).put("job-1", b"1")
    server.kill()
    supervisor = Supervisor()
    try:
        with pytest.raises(errors.InvalidInput, match="the store: wanted what was written without a key, got"):
            await platform.start_nats(Plan(), supervisor, tmp_path, server.store, tmp_path)
        assert supervisor.pids() == {}
        server.start()
        async with buses.connect(server.url, server.token, patience=10.0) as bus:
            assert await Bucket(bus, subjects.KV_JOBS).is_there("job-1")
    finally:
        server.stop()
        await supervisor.stop(10.0)


@pytest.mark.parametrize(
    ("version", "old"),
    [("2.15.1", False), ("2.10.0", False), ("2.10.0-RC.1", False), ("2.9.25", True), ("1.4.1", True), ("", True)],
)
def test_old_servers_are_known(version: str, old: bool) -> None:
    assert nats_server.is_old(version) is old


def test_the_wheels_server_says_its_version() -> None:
    assert not nats_server.is_old(nats_server.version_of(nats_server.find_binary()))
