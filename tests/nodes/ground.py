"""The ground of the nodes ring: a control plane, and two nodes that run containers, one of either tier."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tests.kube import assets, images, network, nodeconfig
from tests.kube.children import Child
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl
from tests.kube.premises import premises
from tests.kube.realnode import RealNode

PLACES = (network.Place("edge", 1), network.Place("device", 2))
TIER = "rise-relay.io/tier"


@dataclass(frozen=True)
class Ground:
    """What every test stands on. The nodes are called as their tiers are."""

    plane: ControlPlane
    edge: RealNode
    device: RealNode

    @property
    def nodes(self) -> tuple[RealNode, RealNode]:
        return self.edge, self.device

    def kubectl(self, namespace: str = "") -> Kubectl:
        return self.plane.kubectl(namespace)

    def load(self, image: images.Image) -> str:
        """The image on every node; what a pod calls it."""
        for node in self.nodes:
            node.ctr("images", "import", str(image.archive))
        return image.reference


@contextlib.contextmanager
def open_ground() -> Iterator[Ground]:
    """Two Ready nodes. Raises Occupied, DidNotStart, CommandFailed; nothing is left of them in any case."""
    pause = images.pause()
    with premises() as folder:
        network.open_network(PLACES)
        # The machine's DNS knows nothing of the nodes' names.
        more = {"kube-apiserver": ["--kubelet-preferred-address-types=InternalIP"]}
        plane = ControlPlane(folder / "plane", network.HOST, more)
        dns: Child | None = None
        nodes: list[RealNode] = []
        try:
            plane.start()
            dns = start_dns(plane)
            for place in PLACES:
                nodes.append(RealNode(plane, place, {TIER: place.name}))
                nodes[-1].start()
                nodes[-1].ctr("images", "import", str(pause.archive))
                nodes[-1].ctr("images", "tag", pause.reference, nodeconfig.PAUSE)
                nodes[-1].join()
            yield Ground(plane, *nodes)
        finally:
            for node in nodes:
                node.close()
            if dns is not None:
                dns.kill()
            plane.close()


def start_dns(plane: ControlPlane) -> Child:
    """CoreDNS at the machine's end of the network, where the kubelets send their pods; as a process, for it needs none
    of what a pod has."""
    user, what = "system:coredns", "services,pods,namespaces,endpointslices.discovery.k8s.io"
    kubectl = plane.kubectl()
    kubectl.run("create", "clusterrole", user, "--verb=list,watch", f"--resource={what}")
    kubectl.run("create", "clusterrolebinding", user, f"--clusterrole={user}", f"--user={user}")
    config = plane.folder / "Corefile"
    config.write_text(nodeconfig.corefile(plane.kubeconfig_for(user)))
    dns = Child("coredns", [str(assets.find("coredns")), f"-conf={config}"], plane.folder / "coredns.log")
    dns.start()
    return dns
