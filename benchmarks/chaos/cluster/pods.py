"""The world in which workers are what they are in a cluster: pods of StagePools, on nodes that can fall silent or die.

The nodes are processes (`tests.kube.process_node`), and so are their pods: the embedded family's own stage workers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.chaos.cluster.makeup import HOME, TIERS, Makeup
from benchmarks.chaos.cluster.world import World
from rise_operator.api import PODS, STAGE_POOLS, Kind
from rise_operator.seen import JOB_UID_LABEL, POOL_LABEL, TIER_LABEL
from rise_runtime.heartbeat import Workers
from tests.kube.pod_status import Image
from tests.kube.process_node import ProcessNode

NODES: Final = Kind("v1", "nodes", namespaced=False)
PER_TIER: Final = 2
STAGE: Final = Image((sys.executable, "-m", "rise_stage"), {"RISE_HEALTH": "127.0.0.1:{port}", "OMP_NUM_THREADS": "1"})


class Placed(NamedTuple):
    """A pod's name, and that of its node; empty where there is none."""

    name: str
    node: str


class PodWorld(World):
    """Two nodes of each tier, and one pod of each tier's pool on one of them."""

    def __init__(self, folder: Path, makeup: Makeup) -> None:
        super().__init__(folder, makeup)
        self.nodes: dict[str, ProcessNode] = {}
        self._back: dict[str, Callable[[], None]] = {}

    def close(self) -> None:
        for node in self.nodes.values():
            node.kill()
        super().close()

    def fail(self, name: str) -> None:
        """The node falls silent; its pods' processes go on, and nobody can tell them to stop."""
        self.nodes[name].fail()
        self._back[name] = self.nodes[name].recover

    def kill(self, name: str) -> None:
        """The machine is dead, its pods with it."""
        self.nodes[name].kill()
        self._back[name] = self.nodes[name].start

    def pod_of(self, pool: str) -> Placed:
        """The pool's newest ready pod."""
        own = [each for each in self._pods() if each["metadata"]["labels"][POOL_LABEL] == pool and _is_ready(each)]
        newest = max(own, key=lambda each: str(each["metadata"]["creationTimestamp"]), default=None)
        return Placed("", "") if newest is None else Placed(newest["metadata"]["name"], newest["spec"]["nodeName"])

    def restore(self) -> None:
        self.plane.restore()
        for back in self._back.values():
            back()
        self._back.clear()
        super().restore()

    def ready(self, name: str) -> bool:
        """What the API server thinks of the node."""
        return any(
            each["type"] == "Ready" and each["status"] == "True"
            for each in self.ask("GET", NODES, None, name)["status"].get("conditions", ())
        )

    def works(self) -> bool:
        """Whether one pod of each pool is there, and takes work, and none else is."""
        pods = [each for each in self._pods() if JOB_UID_LABEL not in each["metadata"]["labels"]]
        names = {each["metadata"]["name"] for each in pods}
        beats = {beat.worker for beat in self.wires.call(Workers(self.bus).now()) if beat.ready}
        ready = all(_is_ready(each) for each in pods)
        return len(pods) == len(TIERS) and ready and beats == names and all(map(self.ready, self.nodes))

    def _install(self) -> None:
        super()._install()
        for tier in TIERS:
            for number in range(1, PER_TIER + 1):
                self._add_node(f"{tier}-node-{number}", tier)
        kubectl = self.plane.kubectl(HOME)
        for tier in TIERS:
            spec = {"tier": tier, "threads": 1, "replicas": 1, "slots": 1}
            kubectl.apply(
                {"apiVersion": STAGE_POOLS.version, "kind": "StagePool", "metadata": {"name": tier}, "spec": spec}
            )

    def _add_node(self, name: str, tier: str) -> None:
        own = self.plane.kubeconfig_for(f"system:node:{name}", ["system:nodes"])
        folder, images = self.folder / name, {"rise-stage": STAGE}
        labels = {TIER_LABEL: tier}
        self.nodes[name] = node = ProcessNode(name, self.plane.kubectl(), own, folder, images, labels=labels)
        node.start()

    def _pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", PODS, HOME)["items"]
        return [each for each in found if POOL_LABEL in (each["metadata"].get("labels") or {})]


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
