"""The server's configuration as the chart writes it, read by a real nats-server: who is let in, and to what."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rise_cli import keys as drawn
from rise_contracts.errors import BusUnavailable
from rise_contracts.rights import Principal
from rise_runtime import client, layout
from rise_runtime.access import Access
from rise_runtime.bus import connect
from tests.bus.runtime import small
from tests.bus.security import matrix
from tests.bus.security.matrix import DEVICE, EDGE, JUDGE, OPERATOR, PRIVATE, SCHEDULER, USER, name_of
from tests.chart import rights_file
from tests.chart.charts import Rendered, render
from tests.chart.conftest import TOKEN
from tests.chart.nats_pod import NatsPod, entered, held, written

ROLES = ("operator", "scheduler", "judge", "edge", "device", "user")
EVERYBODY = (OPERATOR, SCHEDULER, JUDGE, EDGE, DEVICE, USER)


@pytest.fixture
def no_violations(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [text for text in caplog.messages if "permissions violation" in text] == []


@pytest.mark.usefixtures("no_violations")
async def test_each_role_does_its_days_work(nats_pod: NatsPod, plain: Rendered, tmp_path: Path) -> None:
    url = nats_pod.start(plain)
    async with contextlib.AsyncExitStack() as stack:
        buses = {who: await stack.enter_async_context(entered(plain, tmp_path, url, who)) for who in EVERYBODY}
        assert buses[USER].max_payload == 8 * 1024 * 1024
        await layout.ensure(buses[OPERATOR])
        await stack.enter_async_context(small.scheduler(buses[SCHEDULER]))
        await stack.enter_async_context(small.driver(buses[OPERATOR]))
        await stack.enter_async_context(small.worker(buses[EDGE], "edge-1", tmp_path))
        await stack.enter_async_context(small.worker(buses[DEVICE], "device-1", tmp_path))
        job = await client.submit(buses[USER], small.spec(seed=7))
        async with asyncio.timeout(60):
            await client.wait(buses[USER], job.job_id)
        assert (await client.fetch_result(buses[USER], job.job_id)).images == (small.expected(7),)


def forbidden(who: Principal) -> list[str]:
    """What nobody of this role may say, whatever he is called."""
    alike = [one for one in matrix.EVERYBODY if (one.role, one.pool) == (who.role, who.pool)]
    allowed = {subject for one, subject, may in matrix.said() if one in alike and may}
    named = {subject for _, subject, _ in matrix.said() if who.role in ("edge", "device") and _names_one(subject, who)}
    return sorted({subject for _, subject, _ in matrix.said()} - allowed - named)


def _names_one(subject: str, who: Principal) -> bool:
    """Of a worker of this pool: one key opens to all of them."""
    if who.role == "edge":
        return subject.startswith(("rise.progress.", "$KV.rise_workers."))
    named = ("rise.progress.", "$KV.rise_workers.", f"rise.blobs.{who.pool}.")
    own = any(f"{verb}.RISE_WORK_{who.pool.upper()}" in subject for verb in ("MSG.NEXT", "CONSUMER.INFO", "$JS.ACK"))
    return own or subject.startswith(named)


@pytest.mark.parametrize("who", EVERYBODY, ids=name_of)
async def test_and_nothing_else(
    nats_pod: NatsPod, plain: Rendered, tmp_path: Path, caplog: pytest.LogCaptureFixture, who: Principal
) -> None:
    url = nats_pod.start(plain)
    async with entered(plain, tmp_path, url, OPERATOR) as operator, entered(plain, tmp_path, url, who) as bus:
        await layout.ensure(operator)
        subjects = forbidden(who)
        assert len(subjects) > 20
        for subject in subjects:
            await bus.publish(subject, b"{}")
        await bus.barrier()
        refused = {text.split('publish to "')[1].rstrip('"') for text in caplog.messages if 'publish to "' in text}
        assert [subject for subject in subjects if subject.lower() not in refused] == []


async def test_devices_of_the_cluster_and_somebodys_own_are_in_accounts_of_their_own(
    nats_pod: NatsPod, tmp_path: Path
) -> None:
    mine, theirs = tmp_path / "private.key", tmp_path / "judge.key"
    own_line = drawn.new(mine, "device", pool=PRIVATE.pool, name=PRIVATE.name, private=True)
    lines = [own_line, drawn.new(theirs, "judge", pool=None, name=None, private=False)]
    users = [line for each in lines for line in yaml.safe_load(each.text())]
    rendered = render(values={"nats": {"users": users}}, folder=tmp_path)
    url = nats_pod.start(rendered)
    async with contextlib.AsyncExitStack() as stack:
        buses = {who: await stack.enter_async_context(entered(rendered, tmp_path, url, who)) for who in EVERYBODY}
        own = await stack.enter_async_context(connect(url, Access(nkey=mine), inbox=PRIVATE.inbox))
        assert (await stack.enter_async_context(connect(url, Access(nkey=theirs), inbox=JUDGE.inbox))).connected
        await layout.ensure(buses[OPERATOR])
        lane = small.stage(1, "device", last=True, worker=PRIVATE.name)
        relay = small.RELAY.model_copy(update={"stages": (small.RELAY.stages[0], lane)})
        await stack.enter_async_context(small.scheduler(buses[SCHEDULER], relay))
        await stack.enter_async_context(small.driver(buses[OPERATOR]))
        await stack.enter_async_context(small.worker(buses[EDGE], "edge-1", tmp_path))
        await stack.enter_async_context(small.worker(own, PRIVATE.name, tmp_path))
        job = await client.submit(buses[USER], small.spec(seed=7))
        async with asyncio.timeout(60):
            await client.wait(buses[USER], job.job_id)
        assert (await client.fetch_result(buses[USER], job.job_id)).images == (small.expected(7),)


async def test_with_tls_it_shows_a_certificate_of_its_own_authority(nats_pod: NatsPod, tmp_path: Path) -> None:
    rendered = render("--set", "nats.tls.enabled=true")
    url = nats_pod.start(rendered)
    assert url.startswith("tls://")
    ca = written(tmp_path / "ca.crt", held(rendered, "rise-nats-tls")["ca.crt"])
    login = written(tmp_path / "login", held(rendered, "rise-nats-user")["login"])
    async with connect(url, Access(login=login, ca=ca), inbox=USER.inbox, patience=30.0) as bus:
        assert bus.connected
    with pytest.raises(BusUnavailable, match="not to be trusted"):
        async with connect(url, Access(login=login), inbox=USER.inbox):
            pass


async def test_one_token_for_all_opens_it_where_the_values_say_so(
    nats_pod: NatsPod, renderings: dict[str, Rendered]
) -> None:
    url = nats_pod.start(renderings["own-secret"])
    async with connect(url, TOKEN, patience=30.0) as bus:
        await layout.ensure(bus)
    for wrong in (None, "$RISE_NATS_TOKEN", "rise"):
        with pytest.raises(BusUnavailable):
            async with connect(url, wrong):
                pass


async def test_it_takes_nobody_without_a_key(nats_pod: NatsPod, plain: Rendered, tmp_path: Path) -> None:
    url = nats_pod.start(plain)
    async with entered(plain, tmp_path, url, USER):
        pass
    for wrong in (None, TOKEN, Access(login=written(tmp_path / "wrong", "user:operator"))):
        with pytest.raises(BusUnavailable, match="does not accept"):
            async with connect(url, wrong):
                pass


def test_each_role_has_a_long_password_of_its_own_and_no_other(plain: Rendered) -> None:
    logins = {role: held(plain, f"rise-nats-{role}") for role in ROLES}
    assert all(set(keys) == {"login"} for keys in logins.values())
    passwords = {keys["login"].removeprefix(f"{role}:") for role, keys in logins.items()}
    assert len(passwords) == len(ROLES) and all(len(one) == 40 and one.isalnum() for one in passwords)


def secrets_of(spec: dict[str, Any]) -> list[str]:
    sources = [source for volume in spec["volumes"] for source in volume.get("projected", {}).get("sources", ())]
    return [source["secret"]["name"] for source in sources if "secret" in source]


@pytest.mark.parametrize(("pod", "mounted", "told"), [
    ("Deployment/rise-operator", "rise-nats-operator", ["rise-metrics"]),
    ("Deployment/rise-scheduler", "rise-nats-scheduler", ["rise-metrics"]),
    ("Deployment/rise-judge", "rise-nats-judge", []),
    ("StatefulSet/rise-nats", "rise-nats-users", ["rise-nats-encryption"]),
    ("Job/rise-test", "rise-nats-user", []),
])  # fmt: skip
def test_a_pod_gets_what_is_its_own(plain: Rendered, pod: str, mounted: str, told: list[str]) -> None:
    spec = plain.pod(pod).spec
    assert secrets_of(spec) == [mounted]
    assert re.findall(r'"secretKeyRef": \{"key": "\S+", "name": "(\S+)"', json.dumps(spec, sort_keys=True)) == told
    (modes,) = {volume["projected"]["defaultMode"] for volume in spec["volumes"] if "projected" in volume}
    assert modes & 0o007 == 0


def test_secrets_that_are_brought_are_taken_and_none_are_made(tmp_path: Path) -> None:
    brought = {role: f"my-{role}" for role in ROLES}
    nats = {"enabled": False, "url": "tls://bus:4222", "secrets": brought, "tls": {"existingSecret": "my-ca"}}
    rendered = render(values={"nats": nats}, folder=tmp_path)
    assert [body["metadata"]["name"] for body in rendered.all("Secret") if "nats" in body["metadata"]["name"]] == []
    assert secrets_of(rendered.pod("Deployment/rise-scheduler").spec) == ["my-scheduler", "my-ca"]
    told = {item["name"]: item.get("value") for item in rendered.pod("Deployment/rise-operator").main()["env"]}
    assert (told["RISE_NATS_EDGE_SECRET"], told["RISE_NATS_DEVICE_SECRET"]) == ("my-edge", "my-device")
    assert told["RISE_NATS_CA_SECRET"] == "my-ca"


def test_the_lists_of_rights_are_those_of_the_contracts() -> None:
    assert rights_file.FILE.read_text() == rights_file.text(), "make chart-rights"
