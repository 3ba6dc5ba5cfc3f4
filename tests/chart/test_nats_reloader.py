"""Users and certificates that are exchanged in the Secrets of NATS count without a restart: the reloader sees to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rise_contracts.errors import BusUnavailable
from rise_contracts.rights import Principal
from rise_runtime import client, layout
from rise_runtime.access import Access
from rise_runtime.bus import connect
from tests.bus.runtime import small
from tests.chart.charts import Object, Rendered, render
from tests.chart.nats_pod import NatsPod, entered, held, written

OPERATOR, USER = Principal("operator"), Principal("user")
EXCHANGED = ("rise-nats-users", "rise-nats-tls")


def known_by(folder: Path, login: Rendered, authority: Rendered) -> Access:
    """What opens the server to a user, of the passwords of one rendering and the certificates of another."""
    return Access(
        login=written(folder / "login", held(login, "rise-nats-user")["login"]),
        ca=written(folder / "ca.crt", held(authority, "rise-nats-tls")["ca.crt"]),
    )


@pytest.mark.parametrize("signalled", ["as the reloader does", "by the reloader"])
@pytest.mark.parametrize("secret", EXCHANGED)
async def test_what_is_exchanged_in_a_secret_counts_without_a_restart(
    nats_pod: NatsPod, tmp_path: Path, secret: str, signalled: str
) -> None:
    reloader = shutil.which("nats-server-config-reloader") if signalled == "by the reloader" else ""
    if reloader is None:
        pytest.skip("needs nats-server-config-reloader on PATH (of nats-io/nack)")
    before, after = (render("--set", "nats.tls.enabled=true") for _ in range(2))
    url = nats_pod.start(before, reloader)
    old = known_by(tmp_path / "old", before, before)
    new = known_by(tmp_path / "new", *((after, before) if secret == "rise-nats-users" else (before, after)))
    async with connect(url, old, inbox=USER.inbox, patience=30.0):
        pass
    if reloader:
        nats_pod.until_logged("reloader", "ready to kick pid")
    nats_pod.bring(secret, held(after, secret))
    nats_pod.mount(before)
    if not reloader:
        nats_pod.reload()
    nats_pod.until_logged("nats", "Reloaded server configuration")
    async with connect(url, new, inbox=USER.inbox, patience=30.0) as bus:
        assert bus.connected
    with pytest.raises(BusUnavailable):
        async with connect(url, old, inbox=USER.inbox):
            pass


async def test_the_store_is_left_alone_meanwhile(nats_pod: NatsPod, plain: Rendered, tmp_path: Path) -> None:
    nats_pod.start(plain)
    async with entered(plain, tmp_path, nats_pod.url, OPERATOR) as bus:
        await layout.ensure(bus)
        job = await client.submit(bus, small.spec(seed=7))
        nats_pod.reload()
        nats_pod.until_logged("nats", "Reloaded server configuration")
        assert (await client.get_job(bus, job.job_id)).request.spec.seed == 7
    nats_pod.until("/healthz", 200, "ok")


def containers(rendered: Rendered) -> dict[str, Object]:
    return {each["name"]: each for each in rendered.pod("StatefulSet/rise-nats").spec["containers"]}


def test_the_reloader_has_what_the_server_reads_mounted_and_may_write_none_of_it() -> None:
    rendered = render("--set", "nats.tls.enabled=true")
    spec = rendered.pod("StatefulSet/rise-nats").spec
    server, reloader = (containers(rendered)[name] for name in ("nats", "reloader"))
    assert spec["shareProcessNamespace"] is True, "else there is nobody to signal"
    mounts = {each["mountPath"]: each for each in reloader["volumeMounts"]}
    assert mounts.keys() == {"/etc/nats", "/etc/nats-tls", "/tmp"}, "and not the store"
    assert all(each["readOnly"] for each in mounts.values())
    assert not any("subPath" in each for each in (*server["volumeMounts"], *reloader["volumeMounts"]))
    assert {(each["name"], each["mountPath"]) for each in mounts.values()} <= {
        (each["name"], each["mountPath"]) for each in server["volumeMounts"]
    }
    assert "env" not in reloader
    assert (server["args"][-1], reloader["args"][1]) == ("/tmp/nats.pid", "/tmp/nats.pid")
    assert reloader["args"][3] == server["args"][1] == "/etc/nats/nats.conf"


def test_without_it_the_server_is_alone(renderings: dict[str, Rendered]) -> None:
    off = renderings["everything-off"]
    assert containers(off).keys() == {"nats"}
    assert "shareProcessNamespace" not in off.pod("StatefulSet/rise-nats").spec
