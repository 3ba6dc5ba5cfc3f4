"""The ground of the cluster ring: one control plane for the run, a namespace for each test, nodes made of processes."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from _pytest.capture import CaptureManager

from tests.kube import assets
from tests.kube.clusters import Cluster, open_cluster
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl
from tests.kube.pod_status import Image
from tests.kube.process_node import ProcessNode
from tests.locks import ROOT

IMAGES: Mapping[str, Image] = {
    "rise-stage": Image((sys.executable, "-m", "rise_stage"), {"RISE_HEALTH": "127.0.0.1:{port}"}),
    "rise-scheduler": Image((sys.executable, "-m", "rise_scheduler"), {"RISE_HEALTH": "127.0.0.1:{port}"}),
    "rise-operator": Image((sys.executable, "-m", "rise_operator"), {"RISE_HEALTH": "127.0.0.1:{port}"}),
    "python": Image((sys.executable,), {"HEALTH_PORT": "{port}"}),
}
"""What the process nodes can run: the processes of Rise, and Python for the tests of the ground itself."""

TIER = "rise-relay.io/tier"

NodeFactory = Callable[..., ProcessNode]


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster that the environment names (tests.kube.clusters), our own control plane by default."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    assert isinstance(capture, CaptureManager)
    # A first build takes minutes: whoever waits is told what for.
    with capture.global_and_fixture_disabled():
        assets.find("kubectl")
        opened = open_cluster(tmp_path_factory.mktemp("cluster"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def definitions(cluster: Cluster) -> None:
    """The definitions of crds/, served."""
    kubectl = cluster.kubectl()
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    for plural in ("relayjobs", "modelfamilies", "stagepools"):
        kubectl.wait(f"crd/{plural}.rise-relay.io", "condition=Established")


@pytest.fixture(scope="session")
def control_plane(cluster: Cluster) -> ControlPlane:
    """Our own control plane, for tests that hold its API server still or ask for other users."""
    if not isinstance(cluster, ControlPlane):
        pytest.skip("needs a control plane of its own; leave RISE_TEST_CLUSTER and RISE_TEST_KUBECONFIG out")
    return cluster


@contextlib.contextmanager
def plane_of_its_own(folder: Path) -> Iterator[ControlPlane]:
    """Empty, and no other test's: whoever installs a chart there sees what it did and nothing else."""
    if assets.lacking([*assets.CONTROL_PLANE, *assets.TOOLS]):
        pytest.skip("needs helm and a control plane of its own: KUBEBUILDER_ASSETS with helm, or Go")
    plane = ControlPlane(folder)
    plane.start()
    try:
        yield plane
    finally:
        plane.close()


@pytest.fixture
def bare_plane(tmp_path: Path) -> Iterator[ControlPlane]:
    """One of the test's own: an operator that the chart brings cares for all namespaces, those of other tests too."""
    with plane_of_its_own(tmp_path / "plane") as plane:
        yield plane


@pytest.fixture(scope="session")
def make_node(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeFactory]:
    """`make_node("edge-2", labels={…}, capacity={…}, images={…})`: a Ready node, gone with the run at the latest."""
    with contextlib.ExitStack() as closing:

        def make(
            name: str,
            labels: Mapping[str, str] | None = None,
            capacity: Mapping[str, str] | None = None,
            images: Mapping[str, Image] | None = None,
        ) -> ProcessNode:
            own = cluster.kubeconfig
            if isinstance(cluster, ControlPlane):
                own = cluster.kubeconfig_for(f"system:node:{name}", ["system:nodes"])
            folder = tmp_path_factory.mktemp(name)
            node = ProcessNode(
                name, cluster.kubectl(), own, folder, {**IMAGES, **(images or {})}, labels=labels, capacity=capacity
            )
            closing.callback(node.close)
            node.start()
            return node

        yield make


@pytest.fixture(scope="session")
def edge_1(make_node: NodeFactory) -> ProcessNode:
    """A node of the edge tier with one GPU to ask for; no test may fail or kill this one."""
    return make_node("edge-1", labels={TIER: "edge"}, capacity={"nvidia.com/gpu": "1"})


@pytest.fixture(scope="session")
def device_1(make_node: NodeFactory) -> ProcessNode:
    """A node of the device tier; no test may fail or kill this one."""
    return make_node("device-1", labels={TIER: "device"})


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own; whatever is in it goes with it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubectl = cluster.kubectl(name)
    kubectl.run("create", "namespace", name)
    yield name
    kubectl.run("delete", "namespace", name, "--wait=false")
    # Without its grace: the next test should not share the machine with this one's processes.
    kubectl.run("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    """kubectl as the administrator, in the test's namespace."""
    return cluster.kubectl(namespace)
