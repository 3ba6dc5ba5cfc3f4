"""Servers with locks of their own, and everybody who has a key to one."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from rise_runtime import layout
from tests.bus.security.matrix import DEVICE, EVERYBODY, OPERATOR, OTHER, PRIVATE, STRANGER
from tests.bus.security.people import ROOT, Crowd, People
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
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl, to make certificates")
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder for seeds."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def people(keys: Path, authority: Authority) -> People:
    return People(keys, authority)


@pytest.fixture
def server(locked: Locked, people: People) -> Server:
    return locked(people.locks())


@pytest.fixture
def forbidden(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails the test where anybody tried what he may not."""
    yield
    assert [text for text in caplog.messages if "permissions violation" in text] == []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crowd(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> AsyncIterator[Crowd]:
    """Everybody connected to one server, on which everything is made."""
    people = People(tmp_path_factory.mktemp("keys"), authority)
    server = Server(tmp_path_factory.mktemp("nats"), locks=people.locks())
    server.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(server.stop)
        url = server.url.replace("nats://", "tls://")
        buses = {who: await stack.enter_async_context(people.bus(url, who)) for who in (*EVERYBODY, ROOT)}
        crowd = Crowd(buses)
        operator = buses[OPERATOR]
        await layout.ensure(operator)
        for pool in ("edge", "device", "phones"):
            await layout.ensure_pool(operator, pool)
            await layout.queue(operator, pool, None).make()
        for who in (DEVICE, OTHER, STRANGER, PRIVATE):
            await layout.queue(operator, who.pool, who.name).make()
        await crowd.root.subscribe(">", crowd.hear)
        yield crowd
