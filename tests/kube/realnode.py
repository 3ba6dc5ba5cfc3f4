"""A node as production has it: kubelet, kube-proxy and containerd, in a network namespace instead of a machine.

Everything a node writes lies in its folder of the premises (tests.kube.premises), whose clearing also ends what a
killed node leaves running.
"""

from __future__ import annotations

import contextlib
import json
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.kube import assets, network, nodeconfig, premises
from tests.kube.children import Child
from tests.kube.controlplane import ControlPlane
from tests.kube.network import CommandFailed, Place, run

PATIENCE = 120.0
"""Seconds for a node to be Ready, on a loaded machine."""
CNI_PLUGINS = (Path("/opt/cni/bin"), Path("/usr/lib/cni"))


class RealNode:
    """One node of `plane` at `place`. `labels` are those that its kubelet gives itself."""

    def __init__(self, plane: ControlPlane, place: Place, labels: Mapping[str, str]) -> None:
        self.name, self.place = place.name, place
        self.folder = premises.ROOT / place.name
        self.static_pods = self.folder / "static"
        self._plane = plane
        for folder in (self.folder, self.static_pods, self.folder / "cni"):
            folder.mkdir(mode=0o711)
        config = plane.kubeconfig_for(f"system:node:{self.name}", ["system:nodes"])
        self._write(plane.kubeconfig_for("system:kube-proxy"))
        flags = {
            "config": self.folder / "kubelet.yaml",
            "kubeconfig": config,
            "root-dir": self.folder / "kubelet",
            "cert-dir": self.folder / "pki",
            "hostname-override": self.name,
            "node-ip": place.address,
            "node-labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        }
        self.containerd = self._child("containerd", f"--config={self.folder / 'containerd.toml'}")
        self.kubelet = self._child(assets.find("kubelet"), *(f"--{flag}={value}" for flag, value in flags.items()))
        self.proxy = self._child(assets.find("kube-proxy"), f"--config={self.folder / 'kube-proxy.yaml'}")

    def start(self) -> None:
        """containerd up, so that images can be imported. Raises DidNotStart."""
        self.containerd.start()
        self.containerd.wait_until(self._serves, PATIENCE, "serve")

    def join(self) -> None:
        """kubelet and kube-proxy up, and the node Ready. Raises DidNotStart."""
        self.kubelet.start()
        self.proxy.start()
        self.kubelet.wait_until(self.ready, PATIENCE, "make its node Ready")

    def ready(self) -> bool:
        """What the API server thinks of the node."""
        found = self._plane.kubectl().list("nodes", f"--field-selector=metadata.name={self.name}")
        conditions = [each for node in found for each in node["status"].get("conditions", ())]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def ctr(self, *arguments: str) -> str:
        """containerd's own client, about what Kubernetes has there; raises CommandFailed."""
        socket = self.folder / "containerd.sock"
        return run("ctr", f"--address={socket}", "--namespace=k8s.io", *arguments, timeout=600)

    def containers(self) -> list[str]:
        """The ids of all that run, those that only hold a pod's namespaces among them."""
        rows = [row.split() for row in self.ctr("tasks", "list").splitlines()[1:]]
        return sorted(row[0] for row in rows if row[2] == "RUNNING")

    def lose(self) -> None:
        """As if the power were cut: nobody speaks for the node, and nothing on it reaches anybody."""
        self.kubelet.kill()
        network.cut(self.place)

    def find_again(self) -> None:
        """Back on the network, and Ready."""
        network.mend(self.place)
        self.kubelet.start()
        self.kubelet.wait_until(self.ready, PATIENCE, "make its node Ready")

    def close(self) -> None:
        """Kill its own three; what they had running is for the premises to clear."""
        for child in (self.kubelet, self.proxy, self.containerd):
            child.kill()

    def _serves(self) -> bool:
        with contextlib.suppress(CommandFailed):
            return bool(self.ctr("version"))
        return False

    def _child(self, program: str | Path, *arguments: str) -> Child:
        name = Path(program).name
        command = self.place.inside(str(program), *arguments)
        return Child(f"{name} of {self.name}", command, self.folder / f"{name}.log")

    def _write(self, proxy: Path) -> None:
        plugins = next(folder for folder in CNI_PLUGINS if (folder / "bridge").exists())
        libraries = Path(sysconfig.get_path("purelib"))
        texts = {
            "containerd.toml": nodeconfig.containerd(self.folder, plugins),
            "container.json": json.dumps(nodeconfig.container(json.loads(run("ctr", "oci", "spec")), libraries)),
            "cni/10-rise.conflist": json.dumps(nodeconfig.cni(self.place, self.folder)),
            "kubelet.yaml": yaml.safe_dump(nodeconfig.kubelet(self.place, self.folder, self._plane.ca_file)),
            "kube-proxy.yaml": yaml.safe_dump(nodeconfig.kube_proxy(self.place, proxy)),
            # A pod asks the cluster's DNS alone: with the machine's servers behind it, names could come from anywhere.
            "resolv.conf": "",
        }
        for name, text in texts.items():
            (self.folder / name).write_text(text)
