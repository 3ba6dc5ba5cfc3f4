"""Rise on real nodes: its images, its pods where they belong, pictures, a slow link, a node that is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.kube import network
from tests.kube.kubectl import until
from tests.kube.realnode import RealNode
from tests.locks import ROOT
from tests.nodes.ground import Ground
from tests.nodes.installed import Installed

MBIT = 20.0
RELAY = {
    "mode": "Fixed",
    "wireDtype": "fp32",
    "stages": [
        {"member": "large", "tier": "edge", "steps": 1, "untilSigma": 1.3},
        {"member": "finisher", "tier": "device", "steps": 1},
    ],
}
"""One step each: what counts is where they are made, and what goes between them."""
EXAMPLE = ROOT / "examples" / "relayjob.yaml"


@pytest.fixture(scope="module")
def rise(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """The chart, installed; the last test takes it away."""
    installed = Installed(ground, tmp_path_factory.mktemp("rise"))
    installed.install()
    yield installed
    installed.uninstall()


def test_the_workers_of_a_pool_are_on_the_nodes_of_its_tier(rise: Installed) -> None:
    pods = rise.kubectl.list("pods", "-l", "app.kubernetes.io/name=rise-stage")
    where = {pod["metadata"]["labels"]["rise-relay.io/tier"]: pod["spec"]["nodeName"] for pod in pods}
    assert where == {"edge": "edge", "device": "device"}


def test_the_example_is_drawn_by_the_edge_and_then_by_the_device(rise: Installed) -> None:
    rise.kubectl.run("apply", "-f", str(EXAMPLE))
    job = rise.complete(yaml.safe_load(EXAMPLE.read_text())["metadata"]["name"])
    stages = job["status"]["stages"]
    assert [stage["node"] for stage in stages] == ["edge", "device"]
    assert job["status"]["bytesHandedOver"] > 0
    assert rise.wrong_in(job) == []


def test_the_check_of_the_chart_passes(rise: Installed) -> None:
    assert "Succeeded" in rise.test()


@pytest.fixture
def slow_link(ground: Ground) -> Iterator[None]:
    network.shape(ground.device.place, MBIT)
    yield
    network.unshape(ground.device.place)


@pytest.mark.usefixtures("slow_link")
def test_a_handoff_takes_as_long_as_the_link_says(rise: Installed) -> None:
    rise.draw("large-latent", images=16, width=192, height=192, relay=RELAY)
    job = rise.complete("large-latent", 300)
    head, tail = (stage.report for stage in rise.fetched(job)[0].stages)
    assert head is not None
    assert tail is not None
    link_s = head.handoff_bytes * 8 / (MBIT * 1e6)
    assert link_s > 0.2  # enough to be told from everything else
    # The token bucket lets its first 16 kB through at once.
    assert 0.9 * link_s < tail.started_at - head.finished_at < 3 * link_s + 1


@pytest.mark.usefixtures("slow_link")
def test_a_picture_over_a_slow_link_is_right(rise: Installed) -> None:
    # By itself the scheduler would leave such a link alone, and rightly.
    rise.draw("slow-link", relay=yaml.safe_load(EXAMPLE.read_text())["spec"]["relay"])
    job = rise.complete("slow-link")
    assert [stage["node"] for stage in job["status"]["stages"]] == ["edge", "device"]
    assert rise.wrong_in(job) == []


@pytest.fixture
def lost_device(rise: Installed, ground: Ground) -> Iterator[RealNode]:
    """The device's node without power; it is back, with its workers, after the test."""
    ground.device.lose()
    yield ground.device
    if not ground.device.kubelet.running:
        ground.device.find_again()
    rise.pool("device", "Ready")


def test_jobs_go_on_or_wait_with_a_reason_while_the_only_device_is_lost(rise: Installed, lost_device: RealNode) -> None:
    rise.pool("device", "NoNode")
    rise.draw("without-device")
    rise.draw("for-the-device", relay=RELAY)
    job = rise.complete("without-device")
    assert {stage["node"] for stage in job["status"]["stages"]} == {"edge"}
    assert rise.wrong_in(job) == []
    assert rise.waiting("for-the-device") == "NoConfiguration"

    lost_device.find_again()
    job = rise.complete("for-the-device", 300)
    assert [stage["node"] for stage in job["status"]["stages"]] == ["edge", "device"]


def test_an_uninstallation_leaves_nothing_running(rise: Installed, ground: Ground) -> None:
    rise.uninstall()
    for node in ground.nodes:
        until(node.containers, lambda running: not running, 120, f"no container on {node.name}")
    until(lambda: rise.kubectl.list("pods"), lambda pods: not pods, 60, "no pod in the namespace")
