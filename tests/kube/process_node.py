"""A Kubernetes node whose pods are processes of this machine: no kubelet, no containers, no images.

`ProcessNode` is what a test holds. The node itself is a process of its own, so that it can be held still or killed as
a machine can; it registers a Node, renews its Lease, runs what the scheduler binds to it, and writes statuses as a
kubelet does. Pods share the machine's network: each has 127.0.0.1 as its address, which Services do not route to.

    python -m tests.kube.process_node --kubeconfig FILE --name edge-1 --folder DIR --images FILE [--label K=V] …
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import platform
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from tests.kube import assets, pod_status
from tests.kube.api import MERGE, STRATEGIC, Api, Json, Refused, Unreachable
from tests.kube.children import Child
from tests.kube.kubectl import Kubectl
from tests.kube.pod_status import Image
from tests.kube.process_pods import AGAIN, Pod

RENEW_EVERY = 1.5
"""Seconds between two renewals of the Lease."""
CAPACITY = {"cpu": "8", "memory": "16Gi", "pods": "50"}


class ProcessNode:
    """A node that a test adds to a cluster, and may hold still or kill. `kubectl` is an administrator's.

    `kubeconfig` is the node's own; with the user `system:node:NAME` in the group `system:nodes` it may do what a
    kubelet may and no more. `restart_pause` is the first back-off in seconds, 10 for a kubelet.
    """

    def __init__(
        self,
        name: str,
        kubectl: Kubectl,
        kubeconfig: Path,
        folder: Path,
        images: Mapping[str, Image],
        *,
        labels: Mapping[str, str] | None = None,
        capacity: Mapping[str, str] | None = None,
        restart_pause: float = 0.5,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.folder, self._kubectl = name, folder, kubectl
        mapped = folder / "images.json"
        mapped.write_text(json.dumps({image: asdict(stands) for image, stands in images.items()}))
        command = [sys.executable, "-m", "tests.kube.process_node", f"--kubeconfig={kubeconfig}", f"--name={name}"]
        command += [f"--folder={folder}", f"--images={mapped}", f"--restart-pause={restart_pause}"]
        command += [f"--label={key}={value}" for key, value in (labels or {}).items()]
        command += [f"--capacity={key}={value}" for key, value in (capacity or {}).items()]
        self._process = Child(name, command, folder / "node.log")

    def start(self) -> None:
        """The node registered and Ready; raises DidNotStart."""
        self._process.start()
        self._process.wait_until(lambda: self.condition("Ready") == "True", 60, "be Ready")

    def condition(self, kind: str) -> str:
        """The status of one of the node's conditions; empty where there is none."""
        found = self._kubectl.run("get", "node", self.name, "--ignore-not-found", "-o", "json")
        conditions = json.loads(found)["status"].get("conditions", ()) if found.strip() else ()
        return next((str(each["status"]) for each in conditions if each["type"] == kind), "")

    def fail(self) -> None:
        """The node falls silent, as behind a broken link; its processes go on."""
        self._process.signal(signal.SIGSTOP)

    def recover(self) -> None:
        """The link is back after `fail`."""
        self._process.signal(signal.SIGCONT)

    def kill(self) -> None:
        """The machine is dead, its processes with it; `start` is its reboot."""
        self._process.kill()

    def close(self) -> None:
        """Processes ended, the Node removed."""
        self.recover()
        self._process.terminate(grace=10)
        self._kubectl.delete("node", self.name)

    def pod_folder(self, namespace: str, pod: str) -> Path:
        """The pod's working folder `work` is in it, and beside that a log for each start of a container."""
        return self.folder / namespace / pod

    def log(self, namespace: str, pod: str, container: str, restart: int = 0) -> str:
        """What a container wrote; empty where it has not started."""
        path = self.pod_folder(namespace, pod) / f"{container}.{restart}.log"
        return path.read_text(errors="replace") if path.exists() else ""


class Node:
    """The node's own side: keeps its Node and Lease alive and a `Pod` for each pod bound to it."""

    def __init__(self, api: Api, asked: argparse.Namespace) -> None:
        self._api, self._asked, self._name = api, asked, str(asked.name)
        self._images = {
            name: Image(tuple(stands["argv"]), stands["env"])
            for name, stands in json.loads(asked.images.read_text()).items()
        }
        self._pods: dict[str, Pod] = {}

    async def serve(self) -> None:
        """Until cancelled; every call that fails is made again."""
        await asyncio.gather(
            self._again_and_again(self._beat, RENEW_EVERY), self._again_and_again(self._follow_pods, AGAIN)
        )

    async def close(self) -> None:
        """End every pod's processes, without a word to the API server."""
        for pod in self._pods.values():
            pod.removed()
        await asyncio.wait(
            [asyncio.create_task(asyncio.sleep(0)), *(pod.task for pod in self._pods.values())], timeout=5
        )

    async def _again_and_again(self, work: Callable[[], Awaitable[None]], pause: float) -> None:
        while True:
            try:
                await work()
            except Refused as error:
                print(f"{self._name}: {error}", file=sys.stderr, flush=True)
            except Unreachable as error:
                print(f"{self._name}: {error!r}", file=sys.stderr, flush=True)
            await asyncio.sleep(pause)

    async def _beat(self) -> None:
        """Say that the node is there; register it where the server does not know it."""
        now = datetime.now(UTC)
        lease = {"renewTime": now.isoformat(timespec="microseconds").replace("+00:00", "Z")}
        path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        try:
            status = node_status(self._name, self._asked.capacity, pod_status.now())
            node = await self._api.call("PATCH", f"/api/v1/nodes/{self._name}/status", {"status": status}, STRATEGIC)
            await self._api.call("PATCH", f"{path}/{self._name}", {"spec": lease}, MERGE)
        except Refused as error:
            if error.status != 404:
                raise
            node = await self._register()
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": node["metadata"]["uid"]}
            spec = {"holderIdentity": self._name, "leaseDurationSeconds": 40, **lease}
            body = {"metadata": {"name": self._name, "ownerReferences": [owner]}, "spec": spec}
            await self._api.call("POST", path, body)

    async def _register(self) -> Json:
        labels = {
            "kubernetes.io/hostname": self._name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            **self._asked.label,
        }
        body: Json = {"metadata": {"name": self._name, "labels": labels}}
        try:
            return await self._api.call("POST", "/api/v1/nodes", body)
        except Refused as error:
            if error.status != 409:
                raise
            return await self._api.call("GET", f"/api/v1/nodes/{self._name}")

    async def _follow_pods(self) -> None:
        """List, then watch until the server has enough of it: what an event lost comes with the next list."""
        path = f"/api/v1/pods?fieldSelector=spec.nodeName%3D{self._name}"
        listed = await self._api.call("GET", path)
        for pod in listed["items"]:
            self._see(pod)
        uids = {pod["metadata"]["uid"] for pod in listed["items"]}
        for uid in [uid for uid in self._pods if uid not in uids]:
            self._pods.pop(uid).removed()
        async for kind, pod in self._api.watch(path, listed["metadata"]["resourceVersion"]):
            if kind != "DELETED":
                self._see(pod)
            elif pod["metadata"]["uid"] in self._pods:
                self._pods.pop(pod["metadata"]["uid"]).removed()

    def _see(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self._pods:
            self._pods[uid].seen(pod)
        else:
            pause = self._asked.restart_pause
            self._pods[uid] = Pod(self._api, self._name, pod, self._images, self._asked.folder, pause)


def node_status(name: str, capacity: Mapping[str, str], now: str) -> Json:
    """A healthy node's status."""
    held = {**CAPACITY, **capacity}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "processes can be started"}
    pressures = [
        {"type": kind, "status": "False", "reason": "Sufficient", "message": "not watched"}
        for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
    ]
    return {
        "capacity": held,
        "allocatable": held,
        "conditions": [{**each, "lastHeartbeatTime": now} for each in (*pressures, ready)],
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
        "nodeInfo": {"kubeletVersion": assets.kubernetes_version(), "operatingSystem": "linux"},
    }


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in texts)


async def _main(asked: argparse.Namespace) -> None:
    async with Api(asked.kubeconfig) as api:
        node = Node(api, asked)
        serving = asyncio.create_task(node.serve())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving
        await node.close()


def main(argv: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where pods work and logs lie")
    parser.add_argument("--images", type=Path, required=True, help="JSON: {image: {argv: [...], env: {...}}}")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--capacity", action="append", default=[], metavar="RESOURCE=QUANTITY")
    parser.add_argument("--restart-pause", type=float, default=10.0)
    asked = parser.parse_args(argv)
    asked.label, asked.capacity = _pairs(asked.label), _pairs(asked.capacity)
    asyncio.run(_main(asked))


if __name__ == "__main__":
    main(sys.argv[1:])
