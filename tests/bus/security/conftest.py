"""Servers with locks of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kube.pki import Authority
from tests.servers import Server

Locked = Callable[[str], Server]


@pytest.fixture
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """Starts a server with these locks; it is stopped after the test."""
    started: list[Server] = []

    def start(locks: str) -> Server:
        server = Server(tmp_path_factory.mktemp("nats"), locks=locks)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs certificates that the tests trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder for seeds."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    return folder
