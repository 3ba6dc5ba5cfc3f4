"""Namespaces are tenants: on a real API server and a real bus, a job of one has no use of what is another's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rise_contracts.tenants import pool_on_bus
from tests.chart.charts import CHART, helm
from tests.cluster.rise import Rise, condition, job, job_id
from tests.kube.clusters import Cluster
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl, KubectlFailed


@pytest.fixture
def rise(cluster: Cluster, tmp_path: Path, namespace: str) -> Iterator[Rise]:
    """An installation with an operator and no worker."""
    rise = Rise(cluster, tmp_path / "rise", namespace)
    try:
        rise.start().operator()
        yield rise
    finally:
        rise.kubectl.run("delete", "relayjobs", "--all", "--wait=false")
        rise.close()


@pytest.fixture
def tenants(rise: Rise) -> Iterator[tuple[Kubectl, Kubectl]]:
    """Two namespaces beside the installation's."""
    names = [f"tenant-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for name in names:
        rise.kubectl.run("create", "namespace", name)
    yield rise.kubectl.within(names[0]), rise.kubectl.within(names[1])
    for name in names:
        rise.kubectl.within(name).run("delete", "relayjobs", "--all", "--wait=false")
        rise.kubectl.run("delete", "namespace", name, "--wait=false")


def pools(rise: Rise, tenant: Kubectl, who: str) -> None:
    """A worker of each tier in pools of the tenant, by the names that the operator gives these on the bus."""
    for tier in ("edge", "device"):
        rise.worker(f"{tier}-{who}", pool_on_bus(tenant.namespace, tier, rise.namespace))


def is_true(kind: str) -> Any:
    return lambda seen: (condition(seen, kind) or {}).get("status") == "True"


def worked_on_by(seen: dict[str, Any]) -> set[str]:
    return {stage["worker"] for stage in seen["status"]["stages"]}


def test_a_tenants_pools_work_for_its_own_jobs_and_the_platforms_for_everybody(
    rise: Rise, tenants: tuple[Kubectl, Kubectl]
) -> None:
    mine, theirs = tenants
    pools(rise, mine, "mine")
    theirs.apply(job("waits", seed=5))
    mine.apply(job("runs", seed=6))
    done = mine.until("relayjob", "runs", is_true("Complete"), 60)
    assert worked_on_by(done) <= {"edge-mine", "device-mine"}
    # Its only workers are another's: it was there first, and has not been begun.
    waiting = theirs.until("relayjob", "waits", lambda seen: condition(seen, "Scheduled"), 30)
    scheduled = condition(waiting, "Scheduled")
    assert scheduled is not None and (scheduled["status"], scheduled["reason"]) == ("False", "NoConfiguration")

    pools(rise, theirs, "theirs")
    done = theirs.until("relayjob", "waits", is_true("Complete"), 60)
    assert worked_on_by(done) <= {"edge-theirs", "device-theirs"}


def test_pools_of_the_installations_namespace_are_there_for_all(rise: Rise, tenants: tuple[Kubectl, Kubectl]) -> None:
    for name in ("edge-1", "device-1"):
        rise.worker(name)
    for number, tenant in enumerate(tenants):
        tenant.apply(job("picture", seed=number))
    for tenant in tenants:
        assert worked_on_by(tenant.until("relayjob", "picture", is_true("Complete"), 60)) <= {"edge-1", "device-1"}


def test_a_device_selector_reaches_no_device_of_another_tenant(rise: Rise, tenants: tuple[Kubectl, Kubectl]) -> None:
    mine, theirs = tenants
    pools(rise, mine, "mine")
    rise.worker("edge-1")
    selector = {"owner": "ada"}
    rise.worker("device-ada", pool_on_bus(mine.namespace, "device", rise.namespace))
    theirs.apply(job("reaches", deviceSelector=selector))
    done = theirs.until("relayjob", "reaches", is_true("Complete"), 60)
    assert worked_on_by(done) == {"edge-1"}, "the edge does all of it, where no device may be had"


def test_one_key_in_two_namespaces_is_two_jobs(rise: Rise, tenants: tuple[Kubectl, Kubectl]) -> None:
    for name in ("edge-1", "device-1"):
        rise.worker(name)
    ids, pictures = set(), set()
    for number, tenant in enumerate(tenants):
        tenant.apply(job("keyed", f"a picture of tenant {number}", seed=number, idempotencyKey="order-1"))
        done = tenant.until("relayjob", "keyed", is_true("Complete"), 60)
        ids.add(job_id(done))
        pictures.add(rise.result(job_id(done)).images)
    assert len(ids) == len(pictures) == 2


def test_an_object_that_names_another_tenants_job_gets_nothing_of_it_and_takes_nothing_away(
    rise: Rise, tenants: tuple[Kubectl, Kubectl]
) -> None:
    """Who may write a status could write any job's id there."""
    mine, theirs = tenants
    for name in ("edge-1", "device-1"):
        rise.worker(name)
    mine.apply(job("picture", seed=5))
    victim = job_id(mine.until("relayjob", "picture", is_true("Complete"), 60))
    picture = rise.result(victim).images

    theirs.apply(job("thief", seed=9, suspend=True))
    theirs.until("relayjob", "thief", is_true("Suspended"), 30)
    patch = json.dumps({"status": {"jobId": victim}})
    theirs.run("patch", "relayjob", "thief", "--subresource=status", "--type=merge", "-p", patch)
    theirs.run("patch", "relayjob", "thief", "--type=merge", "-p", '{"spec":{"suspend":false}}')
    failed = theirs.until("relayjob", "thief", is_true("Failed"), 30)
    ended = condition(failed, "Failed")
    assert ended is not None and "of another namespace" in ended["message"]
    assert "result" not in failed["status"]
    theirs.run("delete", "relayjob", "thief", "--wait=true")
    theirs.apply(job("after", seed=1))
    theirs.until("relayjob", "after", is_true("Complete"), 60)
    assert rise.result(victim).images == picture, "it is where it was"


def test_people_of_a_namespace_write_no_status_and_read_nothing_of_another(
    rise: Rise, tenants: tuple[Kubectl, Kubectl]
) -> None:
    if not isinstance(rise.cluster, ControlPlane):
        pytest.skip("needs a control plane of its own, to be another user")
    mine, theirs = tenants
    rise.kubectl.apply(_user_roles(rise))
    mine.run("create", "rolebinding", "ada", "--clusterrole=rise-editor", "--user=ada")
    ada = Kubectl(rise.cluster.kubeconfig_for("ada"))
    theirs.apply(job("private"))
    assert ada.within(mine.namespace).list("relayjobs") == []
    ada.within(mine.namespace).apply(job("hers", suspend=True))
    for arguments in (
        ["get", "relayjobs", f"--namespace={theirs.namespace}"],
        ["get", "relayjobs", "--all-namespaces"],
        [
            "patch",
            "relayjob",
            "hers",
            f"--namespace={mine.namespace}",
            "--subresource=status",
            "--type=merge",
            "-p",
            "{}",
        ],
        ["delete", "relayjob", "private", f"--namespace={theirs.namespace}"],
    ):
        with pytest.raises(KubectlFailed, match="Forbidden"):
            ada.run(*arguments)


def _user_roles(rise: Rise) -> str:
    return helm(
        "template", "rise", str(CHART), f"--namespace={rise.namespace}", "--show-only=templates/user-roles.yaml"
    )
