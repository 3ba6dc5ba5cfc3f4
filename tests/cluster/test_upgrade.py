"""An upgrade from the release before, while jobs run: operators, scheduler and workers are replaced one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import IMAGES
from tests.cluster.installed import OPERATOR, Release, bring_defaults, pool_is, values, written
from tests.cluster.previous import Previous, previous
from tests.cluster.rise import condition, job
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import until
from tests.kube.pod_status import Image
from tests.kube.process_node import ProcessNode
from tests.servers import Server

OLD, NEW = "1", "2"
"""Tags of the images: what stands for the first is the previous release's code, for the other this one's."""
DEPLOYED = (OPERATOR, "rise-scheduler", "rise-edge", "rise-device")
UNDER_WAY = 3
"""Jobs that are kept unfinished at any time."""
HEAD = {"member": "large", "tier": "edge", "steps": 40, "untilSigma": 1.2}
TAIL = {"member": "small", "tier": "device", "steps": 40}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Previous:
    return previous(tmp_path_factory.mktemp("previous"))


@pytest.fixture
def release(before: Previous, bare_plane: ControlPlane) -> Release:
    """The previous release's chart."""
    return Release(bare_plane, "rise-system", chart=before.chart)


@pytest.fixture
def nodes(release: Release, before: Previous, tmp_path: Path) -> Iterator[list[ProcessNode]]:
    """One node for each tier, not started yet, with both versions of every image."""
    images: dict[str, Image] = {}
    for name in ("rise-operator", "rise-scheduler", "rise-stage"):
        own = {**IMAGES[name].env, **(release.operators_environment() if name == OPERATOR else {})}
        images[f"{name}:{OLD}"] = Image(IMAGES[name].argv, {**own, **before.environment})
        images[f"{name}:{NEW}"] = Image(IMAGES[name].argv, own)
    made = release.nodes(tmp_path, images)
    yield made
    for node in made:
        node.close()


def of_version(tag: str, server: Server) -> dict[str, Any]:
    """The values of an installation whose images have this tag, with two workers of each tier."""
    chosen = values(server)
    for part in ("operator", "scheduler", "stage"):
        chosen[part] = {**chosen.get(part, {}), "image": {"tag": tag}}
    for pool in chosen["pools"].values():
        pool["replicas"] = 2
    return chosen


def is_rolled_out(deployment: Mapping[str, Any], tag: str) -> bool:
    """Whether all of its pods are of this version, and ready."""
    spec, status = deployment["spec"], deployment.get("status", {})
    (container,) = spec["template"]["spec"]["containers"]
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
    seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
    return seen and counts == {spec["replicas"]} and container["image"].endswith(f":{tag}")


def test_an_upgrade_loses_no_job_and_does_none_twice(
    release: Release, nodes: list[ProcessNode], nats_server: Server, before: Previous, tmp_path: Path
) -> None:
    kubectl = release.kubectl
    release.plane.kubectl().run("create", "namespace", release.namespace)
    kubectl.run("create", "secret", "generic", "bus", f"--from-literal=token={nats_server.token}")
    release.install("--values", written(tmp_path, of_version(OLD, nats_server)))
    bring_defaults(release, before.environment)
    for node in nodes:
        node.start()
    for tier in ("edge", "device"):
        kubectl.until("stagepool", tier, lambda pool: pool_is("True", pool), 240)
    old = {pod["metadata"]["name"] for pod in kubectl.list("pods")}
    names, made = (f"job-{number}" for number in itertools.count()), set[str]()

    def jobs() -> list[dict[str, Any]]:
        return kubectl.list("relayjobs")

    def unfinished() -> int:
        return sum(condition(seen, "Complete") is None and condition(seen, "Failed") is None for seen in jobs())

    def keep_busy() -> None:
        wanted = [next(names) for _ in range(UNDER_WAY - unfinished())]
        made.update(wanted)
        relay = {"mode": "Fixed", "stages": [HEAD, TAIL]}
        if wanted:
            kubectl.apply(*[job(name, relay=relay) for name in wanted])

    def left() -> list[str]:
        keep_busy()
        found = {each["metadata"]["name"]: each for each in kubectl.list("deployments")}
        return [name for name in DEPLOYED if not is_rolled_out(found[name], NEW)]

    keep_busy()
    until(jobs, lambda seen: any(condition(each, "HeadDone") for each in seen), 60, "a job under way")
    replace(release, chart=Release.chart).upgrade("--values", written(tmp_path, of_version(NEW, nats_server)))
    until(left, lambda names: not names, 400, "all replaced")
    assert unfinished() > 0, "jobs ran throughout"
    until(unfinished, lambda count: count == 0, 120, "all jobs ended")

    done = {seen["metadata"]["name"]: seen for seen in jobs()}
    assert set(done) == made
    assert {name: condition(seen, "Failed") for name, seen in done.items()} == dict.fromkeys(made)
    assert len({seen["status"]["result"]["images"][0]["sha256"] for seen in done.values()}) == 1, (
        "one seed, one picture"
    )
    events = kubectl.list("events")
    for name in made:
        told = [each["reason"] for each in events if each["involvedObject"]["name"] == name]
        assert told.count("Completed") == 1
        assert told.count("Scheduled") == done[name]["status"]["attempt"]
    workers = {stage["worker"] for seen in done.values() for stage in seen["status"]["stages"]}
    assert workers & old and workers - old, "both versions worked"
    lines = "\n".join(path.read_text() for node in nodes for path in node.folder.glob("**/scheduler.*.log"))
    for seen in done.values():
        assert lines.count(f"job {seen['status']['jobId']} attempt") == seen["status"]["attempt"]
