"""The tap before a real API server: what it holds, lets go and throws away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.cluster.api_tap import ApiTap, Asked
from tests.kube.api import Api, Refused, Unreachable
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl

ACCOUNT = "tapped"


@pytest.fixture
def kubeconfig(control_plane: ControlPlane, kubectl: Kubectl) -> Path:
    """Of a service account that may do as it likes with the namespace's config maps."""
    kubectl.run("create", "serviceaccount", ACCOUNT)
    kubectl.run("create", "role", ACCOUNT, "--verb=*", "--resource=configmaps")
    kubectl.run(
        "create", "rolebinding", ACCOUNT, f"--role={ACCOUNT}", f"--serviceaccount={kubectl.namespace}:{ACCOUNT}"
    )
    return control_plane.kubeconfig_for_service_account(kubectl.namespace, ACCOUNT)


@pytest.fixture
async def tap(kubeconfig: Path) -> AsyncIterator[ApiTap]:
    made = ApiTap(kubeconfig, "tap")
    async with made.serving():
        yield made


@pytest.fixture
async def api(tap: ApiTap) -> AsyncIterator[Api]:
    async with Api(tap.kubeconfig) as opened:
        yield opened


def path(namespace: str, name: str = "") -> str:
    return f"/api/v1/namespaces/{namespace}/configmaps{'/' if name else ''}{name}"


def config_map(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def makes(name: str) -> Any:
    return lambda asked: asked.method == "POST" and asked.body["metadata"]["name"] == name


async def test_only_the_request_that_was_meant_is_held(tap: ApiTap, api: Api, kubectl: Kubectl) -> None:
    space = kubectl.namespace
    hold = tap.hold(makes("held"))
    held = asyncio.create_task(api.call("POST", path(space), config_map("held")))
    await asyncio.wait_for(hold.met.wait(), 10)
    await api.call("POST", path(space), config_map("free"))
    assert not held.done()
    with pytest.raises(Refused, match="404"):
        await api.call("GET", path(space, "held"))
    hold.let_go()
    assert (await held)["metadata"]["name"] == "held"
    await api.call("GET", path(space, "held"))
    assert [asked for _, asked in tap.changed] == [Asked("POST", path(space), config_map(n)) for n in ("free", "held")]


async def test_a_request_that_is_dropped_never_comes_and_its_client_hears_the_line_break(
    tap: ApiTap, api: Api, kubectl: Kubectl
) -> None:
    space = kubectl.namespace
    hold = tap.hold(makes("dropped"))
    asking = asyncio.create_task(api.call("POST", path(space), config_map("dropped")))
    await asyncio.wait_for(hold.met.wait(), 10)
    hold.drop()
    with pytest.raises(Unreachable):
        await asking
    with pytest.raises(Refused, match="404"):
        await api.call("GET", path(space, "dropped"))
    assert tap.changed == []


async def test_what_is_held_of_somebody_who_is_gone_comes_late(tap: ApiTap, api: Api, kubectl: Kubectl) -> None:
    space = kubectl.namespace
    hold = tap.hold(makes("late"))
    async with Api(tap.kubeconfig) as mortal:
        asking = asyncio.create_task(mortal.call("POST", path(space), config_map("late")))
        await asyncio.wait_for(hold.met.wait(), 10)
        asking.cancel()
    hold.let_go()
    async with asyncio.timeout(10):
        while not tap.changed:
            await asyncio.sleep(0.02)
    await api.call("GET", path(space, "late"))


async def test_what_the_server_refuses_has_changed_nothing(tap: ApiTap, api: Api, kubectl: Kubectl) -> None:
    with pytest.raises(Refused, match="403"):
        await api.call("POST", f"/api/v1/namespaces/{kubectl.namespace}/pods", config_map("no"))
    assert tap.changed == []
