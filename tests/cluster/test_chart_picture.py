"""The chart as a person uses it: install, `helm test` draws a picture, change the values, uninstall.

The pods are processes on two nodes, with the accounts and rights that the chart gives them and no others; the bus is a
real nats-server beside the cluster, for the containers of NATS need what process nodes have not: volumes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from rise_contracts import codec, messages, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client
from rise_runtime.buckets import Bucket
from rise_runtime.bus import connect
from rise_stage.smoke import RELAY
from tests.cluster.conftest import IMAGES
from tests.cluster.installed import OPERATOR, Release, bring_defaults, pool_is, values, written
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import until
from tests.kube.pod_status import Image
from tests.kube.process_node import ProcessNode
from tests.servers import Server


@pytest.fixture
def release(bare_plane: ControlPlane) -> Release:
    return Release(bare_plane, "rise-system")


@pytest.fixture
def nodes(release: Release, tmp_path: Path) -> Iterator[list[ProcessNode]]:
    """One node for each tier, not started yet."""
    operator = Image(IMAGES[OPERATOR].argv, {**IMAGES[OPERATOR].env, **release.operators_environment()})
    made = release.nodes(tmp_path, {**IMAGES, OPERATOR: operator})
    yield made
    for node in made:
        node.close()


def logs(nodes: list[ProcessNode], container: str) -> str:
    return "\n".join(path.read_text() for node in nodes for path in node.folder.glob(f"**/{container}.*.log"))


async def judged(server: Server, spec: RelayJobSpec) -> messages.Outcome:
    """What the scheduler knows of a picture for which nobody waits, once somebody has judged it."""
    async with asyncio.timeout(120), connect(server.url, server.token, name="test", patience=30.0) as bus:
        job = await client.submit(bus, spec)
        async for entry in Bucket(bus, subjects.KV_DECISIONS).watch():
            outcome = codec.decode(DecisionRecord, entry.value).outcome if entry and entry.value else None
            if outcome is not None and outcome.job_id == job.job_id and outcome.quality is not None:
                return outcome
    raise AssertionError("the watch ended")


def test_an_installation_draws_a_picture_and_goes_without_a_trace_of_work(
    release: Release, nodes: list[ProcessNode], nats_server: Server, tmp_path: Path
) -> None:
    kubectl, chosen = release.kubectl, values(nats_server)
    release.plane.kubectl().run("create", "namespace", release.namespace)
    kubectl.run("create", "secret", "generic", "bus", f"--from-literal=token={nats_server.token}")
    release.install("--values", written(tmp_path, chosen))

    bring_defaults(release)
    for node in nodes:
        node.start()
    for tier in ("edge", "device"):
        kubectl.until("stagepool", tier, lambda pool: pool_is("True", pool), 120)

    assert "Phase:          Succeeded" in release.test(150)
    (line,) = [line for line in logs(nodes, "picture").splitlines() if line.startswith('{"job"')]
    made = json.loads(line)
    assert made["ok"] is True and made["prompt"] == "a large red circle"
    assert {stage["worker"].split("-")[1] for stage in made["stages"]} <= {"edge", "device"}

    # Nobody but the chart's judge looks at a picture that nobody waits for.
    outcome = asyncio.run(judged(nats_server, RelayJobSpec(prompt=made["prompt"], seed=7, relay=RELAY)))
    assert (outcome.judged_by, outcome.quality) == ("judge", 1.0)

    # What a person has set stays when the operator starts anew; what is taken out of the values goes.
    kubectl.run("scale", "stagepool", "edge", "--replicas=0")
    chosen["pools"]["device"] = None
    release.upgrade("--values", written(tmp_path, chosen))
    assert "StagePool edge was made from this manifest already" in bring_defaults(release)
    assert kubectl.get("stagepool", "edge")["spec"]["replicas"] == 0
    until(lambda: [pool["metadata"]["name"] for pool in kubectl.list("stagepools")], ["edge"].__eq__, 30, "pools")
    # What the values say anew counts.
    chosen["pools"]["edge"]["drainSeconds"] = 10
    release.upgrade("--values", written(tmp_path, chosen))
    assert "StagePool edge is as the chart has it" in bring_defaults(release)
    assert kubectl.get("stagepool", "edge")["spec"]["drainSeconds"] == 10

    assert "begins with the prior of rise-shapes" in logs(nodes, "scheduler")

    # All of that with the chart's rights, and without a word of the API server's against it.
    assert "leads (lease rise-system/rise-operator)" in logs(nodes, "operator")
    assert "forbidden" not in logs(nodes, "operator").lower()

    release.uninstall()
    until(lambda: kubectl.list("stagepools,deployments,pods"), lambda left: left == [], 60, "what is left")
    assert kubectl.exists("modelfamily", "rise-shapes")
