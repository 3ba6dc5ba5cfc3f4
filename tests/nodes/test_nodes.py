"""Rise on real nodes: its images, its pods where they belong, pictures, a slow link, a node that is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.kube.kubectl import until
from tests.locks import ROOT
from tests.nodes.ground import Ground
from tests.nodes.installed import Installed

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


def test_an_uninstallation_leaves_nothing_running(rise: Installed, ground: Ground) -> None:
    rise.uninstall()
    for node in ground.nodes:
        until(node.containers, lambda running: not running, 120, f"no container on {node.name}")
    assert rise.kubectl.list("pods") == []
