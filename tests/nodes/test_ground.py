"""The nodes themselves: containers run, pods reach each other, and nothing is left of a run that was killed."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request

import pytest

from tests.kube import images, premises
from tests.kube.kubectl import until
from tests.nodes.ground import TIER, Ground


def pod(name: str, image: str, answer: str, tier: str = "") -> dict[str, object]:
    """A pod that answers every request with a word."""
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    container = {"name": "main", "image": image, "args": [":8080", answer], "readinessProbe": probe}
    spec: dict[str, object] = {"containers": [container], "terminationGracePeriodSeconds": 1}
    if tier:
        spec["nodeSelector"] = {TIER: tier}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def test_a_pod_that_lies_in_a_folder_of_the_node_runs(ground: Ground) -> None:
    manifest = ground.edge.static_pods / "static.yaml"
    manifest.write_text(json.dumps(pod("static", images.pause().reference, "hello")))
    try:
        # The API server only mirrors it, under the node's name.
        ground.kubectl("default").wait("pod/static-edge", "create", 60)
        ground.kubectl("default").wait("pod/static-edge", "condition=Ready", 60)
        assert len(ground.edge.containers()) == 2  # the pod's own, and the one that holds its namespaces
    finally:
        manifest.unlink()
    ground.kubectl("default").wait("pod/static-edge", "delete", 60)
    until(ground.edge.containers, lambda running: not running, 60, "no container on the edge")


@pytest.mark.parametrize("tier", ["edge", "device"])
def test_a_pod_goes_to_the_node_of_its_tier_and_answers_from_its_own_address(ground: Ground, tier: str) -> None:
    kubectl = ground.kubectl("default")
    kubectl.apply(pod(f"on-{tier}", images.pause().reference, tier, tier))
    try:
        kubectl.wait(f"pod/on-{tier}", "condition=Ready", 60)
        seen = kubectl.get("pod", f"on-{tier}")
        assert seen["spec"]["nodeName"] == tier
        with urllib.request.urlopen(f"http://{seen['status']['podIP']}:8080", timeout=10) as answer:
            assert answer.read().decode().strip() == tier
        # Through the API server, from the node's kubelet.
        assert kubectl.run("logs", f"on-{tier}").strip() == f"serving {tier}"
    finally:
        kubectl.run("delete", "pod", f"on-{tier}", "--wait=true")


def test_a_service_is_reached_from_the_other_node(ground: Ground) -> None:
    kubectl = ground.kubectl("default")
    kubectl.apply(pod("served", images.pause().reference, "from the device", "device"))
    service = {"selector": {"app": "served"}, "ports": [{"port": 80, "targetPort": 8080}]}
    kubectl.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "served"}, "spec": service})
    try:
        kubectl.wait("pod/served", "condition=Ready", 60)
        address = kubectl.get("service", "served")["spec"]["clusterIP"]
        ask = f"import urllib.request; print(urllib.request.urlopen('http://{address}', timeout=2).read().decode())"

        def asked() -> str:
            command = ground.edge.place.inside(sys.executable, "-c", ask)
            return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout.strip()

        until(asked, lambda told: told == "from the device", 30, "an answer through the Service")
    finally:
        kubectl.run("delete", "pod/served", "service/served", "--wait=true")


def test_only_one_run_at_a_time_has_the_machine(ground: Ground) -> None:
    with pytest.raises(premises.Occupied, match="another holds"), premises.premises():
        pass
