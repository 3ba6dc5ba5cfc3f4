"""Getting in: with every kind of identity, over TLS, and not without. Each against a real server."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

import pytest

from rise_contracts import errors
from rise_contracts.rights import Grant, configuration
from rise_runtime.access import Access
from rise_runtime.bus import Bus, Incoming, connect, open_bus
from tests.bus.runtime.small import until
from tests.bus.security.conftest import Locked
from tests.bus.security.locks import Key, Operator, make_key, tls
from tests.bus.security.matrix import DEVICE, OTHER
from tests.kube.pki import Authority
from tests.servers import Server

SECURE = "tls://127.0.0.1"


def users(*entries: str) -> str:
    return f"authorization {{ users: [{', '.join(entries)}] }}"


def nkey(key: Key) -> str:
    return f"{{nkey: {key.public}}}"


def secure(server: Server) -> str:
    return server.url.replace("nats://", "tls://")


def written(path: Path, text: str) -> Path:
    path.touch(mode=0o600)
    path.write_text(text)
    return path


async def refused(url: str, access: Access | str | None, match: str) -> None:
    """The server is there, and the door stays shut at once, however patient one is."""
    with pytest.raises(errors.BusUnavailable, match=match) as caught:
        await asyncio.wait_for(open_bus(url, access, patience=3600), 30)
    assert not caught.value.retriable


async def test_an_nkey_opens_and_another_does_not(locked: Locked, keys: Path) -> None:
    mine, other = make_key(keys / "mine"), make_key(keys / "other")
    server = locked(users(nkey(mine)))
    async with connect(server.url, Access(nkey=mine.seed)) as bus:
        assert bus.connected
    await refused(server.url, Access(nkey=other.seed), "does not accept this nkey in .*other")
    await refused(server.url, None, "does not accept this connection without an identity")


async def test_a_login_opens_and_a_wrong_one_does_not(locked: Locked, keys: Path) -> None:
    server = locked(users("{user: edge, password: right}"))
    async with connect(server.url, Access(login=written(keys / "right", "edge:right\n"))) as bus:
        assert bus.connected
    await refused(server.url, Access(login=written(keys / "wrong", "edge:wrong")), "does not accept this login")


async def test_credentials_with_a_jwt_open_and_strangers_do_not(locked: Locked, keys: Path) -> None:
    mine, other = Operator(), Operator()
    server = locked(mine.locks())
    async with connect(server.url, Access(creds=mine.credentials(keys / "mine.creds"))) as bus:
        assert bus.connected
    stranger = Access(creds=other.credentials(keys / "other.creds"))
    await refused(server.url, stranger, r"does not accept this credentials in .*other\.creds")


async def test_a_jwt_that_runs_out_is_followed_by_the_next(locked: Locked, keys: Path) -> None:
    """The server says so, and ends the connection."""
    mine, path = Operator(), keys / "mine.creds"
    server = locked(mine.locks())
    async with connect(server.url, Access(creds=mine.credentials(path, seconds=2))) as bus:
        again = asyncio.Event()
        bus.on_reconnect(again.set)
        mine.credentials(path)
        await asyncio.wait_for(again.wait(), 30)
        assert not bus.closed.is_set()
        assert (await bus.request("$JS.API.INFO")).data


async def test_a_token_opens_from_a_file_too(locked: Locked, keys: Path) -> None:
    server = locked("authorization { token: sesame }")
    async with connect(server.url, Access(token=written(keys / "token", "sesame\n"))) as bus:
        assert bus.connected


@pytest.mark.parametrize("kind", ["nkey", "creds", "login", "token"])
async def test_a_key_that_cannot_be_used_is_told_by_its_path(locked: Locked, keys: Path, kind: str) -> None:
    server, path = locked(users(nkey(make_key(keys / "other")))), keys / "key"
    await refused(server.url, Access(**{kind: path}), rf"{path}: wanted .*, got 'No such file")
    written(path, "neither seed nor JWT").chmod(0o604)
    await refused(server.url, Access(**{kind: path}), r"wanted a file that others cannot read.*chmod o=")
    path.chmod(0o600)
    if kind != "token":
        await refused(server.url, Access(**{kind: path}), rf"{path}: wanted ")


async def test_over_tls_the_server_has_to_prove_its_name(locked: Locked, authority: Authority, tmp_path: Path) -> None:
    token = "authorization { token: sesame }"
    right, other = locked(f"{token}\n{tls(authority, 'IP:127.0.0.1')}"), Authority(tmp_path / "other")
    access = Access(token="sesame", ca=authority.pair.certificate)
    async with connect(secure(right), access) as bus:
        assert bus.connected and bus.url.startswith(SECURE)
    await refused(secure(right), dataclasses.replace(access, ca=other.pair.certificate), "not to be trusted")
    await refused(secure(right), "sesame", "not to be trusted .*RISE_NATS_CA")
    elsewhere = locked(f"{token}\n{tls(authority, 'DNS:nats.example.org')}")
    await refused(secure(elsewhere), access, "not to be trusted .*127.0.0.1")


async def test_a_server_that_leaves_out_tls_hears_no_secret(authority: Authority) -> None:
    """Whoever sits in between may answer instead of the server, and say that it has no TLS."""
    heard: list[bytes] = []

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.0","max_payload":1048576,"auth_required":true}\r\n')
        heard.append(await reader.read())
        writer.close()

    between = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = between.sockets[0].getsockname()[1]
    try:
        await refused(f"tls://127.0.0.1:{port}", "sesame", "wanted TLS")
        await refused(f"nats://127.0.0.1:{port}", Access(token="sesame", ca=authority.pair.certificate), "wanted TLS")
        await until(lambda: len(heard) == 2)
        assert heard == [b"", b""]
    finally:
        between.close()
        await between.wait_closed()


async def test_a_server_may_ask_for_the_clients_certificate(locked: Locked, authority: Authority) -> None:
    server = locked(f"authorization {{ token: sesame }}\n{tls(authority, 'IP:127.0.0.1', clients=True)}")
    access = Access(token="sesame", ca=authority.pair.certificate)
    mine = authority.client("mine", "rise")
    mine.key.chmod(0o600)
    async with connect(secure(server), dataclasses.replace(access, cert=mine.certificate, key=mine.key)) as bus:
        assert bus.connected
    await refused(secure(server), access, "RISE_NATS_CERT")


async def test_an_exchanged_key_is_taken_up_without_a_restart(locked: Locked, keys: Path) -> None:
    old = make_key(keys / "mine")
    watching = make_key(keys / "watching")
    server = locked(users(nkey(old), nkey(watching)))
    async with (
        connect(server.url, Access(nkey=keys / "mine"), inbox="_INBOX.mine") as bus,
        connect(server.url, Access(nkey=watching.seed)) as other,
    ):
        heard: list[bytes] = []
        await bus.subscribe("rise.said", lambda message: heard.append(message.data))
        again = asyncio.Event()
        bus.on_reconnect(again.set)
        new = make_key(keys / "mine")
        server.reload(users(nkey(new), nkey(watching)))
        await asyncio.wait_for(again.wait(), 30)
        await bus.barrier()
        await other.publish("rise.said", b"still here")
        await until(lambda: heard == [b"still here"])
        assert (await bus.request("$JS.API.INFO")).data
        assert not bus.closed.is_set()


async def test_the_new_key_may_come_later_than_the_servers(locked: Locked, keys: Path) -> None:
    """For a while neither fits: nobody gives up."""
    old = make_key(keys / "mine")
    server = locked(users(nkey(old)))
    async with connect(server.url, Access(nkey=old.seed)) as bus:
        new = make_key(keys / "later")
        server.reload(users(nkey(new)))
        await until(lambda: not bus.connected)
        again = asyncio.Event()
        bus.on_reconnect(again.set)
        (keys / "later").replace(keys / "mine")
        await asyncio.wait_for(again.wait(), 30)
        assert bus.connected


async def test_what_the_server_does_not_take_is_told_as_such(locked: Locked, keys: Path) -> None:
    key = make_key(keys / "mine")
    rights = 'permissions: {publish: ["$JS.API.INFO"], subscribe: ["_INBOX.mine.>"]}'
    server = locked(users(f"{{nkey: {key.public}, {rights}}}", "{user: all, password: all}"))
    login = written(keys / "all", "all:all")
    async with (
        connect(server.url, Access(nkey=key.seed), inbox="_INBOX.mine") as bus,
        connect(server.url, Access(login=login)) as other,
    ):
        heard = await _everything(other)
        with pytest.raises(errors.NotAllowed, match=r"may not publish on rise\.Scheduler\.configure") as caught:
            await bus.request("rise.Scheduler.configure", timeout=0.5)
        assert caught.value.exit_code == 7 and not caught.value.retriable
        await bus.barrier()
        await other.barrier()
        assert heard == []
        assert (await bus.request("$JS.API.INFO")).data, "the connection lives on"


async def test_a_key_of_somebody_else_is_told_at_once(locked: Locked, keys: Path) -> None:
    """A worker that is started under another name than its key is for."""
    key = make_key(keys / "mine")
    server = locked(configuration([Grant(DEVICE, nkey=key.public)]))
    async with connect(server.url, Access(nkey=key.seed), inbox=DEVICE.inbox):
        pass
    for inbox in (OTHER.inbox, "_INBOX"):
        with pytest.raises(errors.NotAllowed, match=r"may not listen on _inbox.*use the key of this very role"):
            await asyncio.wait_for(open_bus(server.url, Access(nkey=key.seed), inbox=inbox), 3)


async def _everything(bus: Bus) -> list[Incoming]:
    heard: list[Incoming] = []
    await bus.subscribe("rise.>", heard.append)
    await bus.barrier()
    return heard
