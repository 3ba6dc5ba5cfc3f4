"""`rise keys` and `rise join`: somebody's phone gets a key of its own, works, and is locked out again."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rise_contracts import errors
from rise_contracts.configuration import Configuration
from rise_contracts.rights import Principal
from rise_runtime import layout
from rise_runtime.access import Access
from rise_runtime.bus import connect
from tests.bus import cli
from tests.bus.joining import draws, joined, make_known
from tests.bus.runtime import small
from tests.bus.security.conftest import Locked

PHONE = Configuration(arm="small:4", stages=(small.stage(0, "phones", last=True, worker="ada-phone"),))
ASKED = ("--pool", "phones", "--private")


async def test_a_phone_is_given_a_key_works_and_is_locked_out(locked: Locked, tmp_path: Path) -> None:
    home, phone, people = cli.Home(tmp_path / "home"), tmp_path / "phone.key", tmp_path / "people.yaml"

    def key_of(role: str) -> Access:
        return Access(nkey=tmp_path / f"{role}.key")

    def let_in(*lines: str) -> str:
        """What the server is told."""
        people.write_text("".join(lines))
        return home.rise("keys", "--server", str(people)).out

    platform = [
        home.rise("keys", role, "--out", str(tmp_path / f"{role}.key")).out
        for role in ("operator", "scheduler", "user")
    ]
    server = locked(
        let_in(*platform, home.rise("keys", "device", "--name", "ada-phone", *ASKED, "--out", str(phone)).out)
    )

    async with (
        connect(server.url, key_of("operator"), inbox=Principal("operator").inbox, patience=30.0) as operator,
        connect(server.url, key_of("scheduler"), inbox=Principal("scheduler").inbox) as scheduler,
        connect(server.url, key_of("user"), inbox=Principal("user").inbox) as user,
    ):
        await layout.ensure(operator)
        await make_known(operator, home)
        home.environment["RISE_NATS_NKEY"] = str(phone)
        async with (
            small.driver(operator, small.PATIENT),
            small.scheduler(scheduler, PHONE),
            joined(user, home, server.url, "ada-phone", *ASKED),
        ):
            await draws(user, "ada-phone")
    server.reload(let_in(*platform))
    await refused(server.url, Access(nkey=phone))


async def refused(url: str, access: Access) -> None:
    """Wait until the server, which takes a moment to read its configuration, lets this one in no more."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with connect(url, access, inbox=Principal("device", "phones", "ada-phone").inbox):
                    await asyncio.sleep(0.05)
            except errors.BusUnavailable as error:
                if not error.retriable:
                    why = str(error)
                    break
    assert "does not accept this nkey" in why
