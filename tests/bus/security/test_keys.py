"""`rise keys` and `rise join`: somebody's phone gets a key of its own, works, and is locked out again."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from rise_contracts import codec, errors, manifest, messages, subjects
from rise_contracts.configuration import Configuration
from rise_contracts.rights import Principal
from rise_runtime import client, layout
from rise_runtime.access import Access
from rise_runtime.buckets import Bucket
from rise_runtime.bus import connect
from rise_runtime.heartbeat import Workers
from tests.bus import cli
from tests.bus.runtime import small
from tests.bus.security.conftest import Locked

PHONE = Configuration(arm="small:4", stages=(small.stage(0, "phones", last=True, worker="ada-phone"),))
ASKED = ("--name", "ada-phone", "--pool", "phones", "--private")


async def test_a_phone_is_given_a_key_works_and_is_locked_out(locked: Locked, tmp_path: Path) -> None:
    home, keys = cli.Home(tmp_path / "home"), tmp_path / "keys"
    for role in ("operator", "scheduler", "user"):
        assert home.rise("keys", role, "--folder", str(keys)).code == 0
    made = home.rise("keys", "device", *ASKED, "--folder", str(keys))
    assert (keys / "device-phones-ada-phone.nk").name in made.out
    server = locked((keys / "accounts.conf").read_text())

    def key_of(role: str) -> Access:
        return Access(nkey=keys / f"{role}.nk")

    async with (
        connect(server.url, key_of("operator"), inbox=Principal("operator").inbox, patience=30.0) as operator,
        connect(server.url, key_of("scheduler"), inbox=Principal("scheduler").inbox) as scheduler,
        connect(server.url, key_of("user"), inbox=Principal("user").inbox) as user,
    ):
        await layout.ensure(operator)
        family = manifest.load_family(home.family.read_text(), "family")
        await Bucket(operator, subjects.KV_FAMILIES).put(family.metadata.name, codec.encode(family))
        home.environment["RISE_NATS_NKEY"] = str(keys / "device-phones-ada-phone.nk")
        async with small.driver(operator, small.PATIENT), small.scheduler(scheduler, PHONE):
            joined = home.start("join", "--nats", server.url, *ASKED, "--family", str(home.family))
            try:
                await Workers(user).until_ready(["ada-phone"], 60.0, "see what it says")
                job = await client.submit(user, small.spec("a red circle"))
                async with asyncio.timeout(60):
                    done = await client.wait(user, job.job_id)
                assert isinstance(done, messages.JobDone), done
                assert done.worker == "ada-phone"
            finally:
                joined.send_signal(signal.SIGTERM)
                said = await asyncio.to_thread(cli.ended, joined)
                assert said.code == 0, said.err
    stolen = Path(shutil.copy(keys / "device-phones-ada-phone.nk", tmp_path / "stolen"))
    assert home.rise("keys", "device", *ASKED, "--folder", str(keys), "--revoke").code == 0
    server.reload((keys / "accounts.conf").read_text())
    await refused(server.url, Access(nkey=stolen))


async def refused(url: str, access: Access) -> None:
    """Wait until the server, which takes a moment to read its configuration, lets this one in no more."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with connect(url, access):
                    await asyncio.sleep(0.05)
            except errors.BusUnavailable as error:
                why = str(error)
                break
    assert "does not accept this nkey" in why
