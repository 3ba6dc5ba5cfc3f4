"""What the three processes of a real node are configured with. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kube.network import HOST, Place

PAUSE = "localhost/rise-pause:test"
"""The image that holds a pod's namespaces; it has to be there before the first pod."""
DOMAIN = "cluster.local"
ENVIRONMENT = "/environment"
"""Where containers find the Python libraries of the machine."""

Config = dict[str, Any]


def containerd(folder: Path, plugins: Path) -> str:
    """containerd with everything in the folder, and CNI from it; `plugins` is where its programs are."""
    return f"""\
version = 2
root = "{folder}/images"
state = "{folder}/state"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{folder}/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
# Where CAP_SYS_RESOURCE is withheld, runc may not lower oom_score_adj, and dies of trying.
restrict_oom_score_adj = true
# Else the namespaces of pods lie among the machine's own, and would stay there after a run that was killed.
netns_mounts_under_state_dir = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
base_runtime_spec = "{folder}/container.json"
"""


def container(default: Config, libraries: Path) -> Config:
    """What every container starts from: containerd's default, and the libraries of the machine to read."""
    mount = {"destination": ENVIRONMENT, "type": "bind", "source": str(libraries), "options": ["rbind", "ro"]}
    return {**default, "mounts": [*default["mounts"], mount]}


def cni(place: Place, folder: Path) -> Config:
    """A bridge for the pods of the node, and addresses from its own range."""
    ranges = [[{"subnet": place.pods}]]
    addresses = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "hairpinMode": True}
    plugin = {**bridge, "ipam": {**addresses, "dataDir": f"{folder}/addresses"}}
    return {"cniVersion": "0.4.0", "name": "rise", "plugins": [plugin]}


def kubelet(place: Place, folder: Path, ca_file: Path) -> Config:
    """A kubelet that shares the machine with others, and whose silence is noticed within seconds."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca_file)},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "staticPodPath": f"{folder}/static",
        "podLogsDir": f"{folder}/logs",
        "volumePluginDir": f"{folder}/volume-plugins",
        "resolvConf": f"{folder}/resolv.conf",
        "clusterDNS": [HOST],
        "clusterDomain": DOMAIN,
        "healthzPort": 0,
        "fileCheckFrequency": "1s",
        # The control plane (tests.kube.controlplane) takes a node for lost after a few silent seconds.
        "nodeLeaseDurationSeconds": 4,
        "nodeStatusUpdateFrequency": "2s",
        # The machine's control groups are not this kubelet's to arrange, nor is its disk its own.
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": False,
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "makeIPTablesUtilChains": True,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def kube_proxy(place: Place, kubeconfig: Path) -> Config:
    """Services by nftables, in the node's own network, and without a wish of the machine's connection tracking."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": place.name,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def corefile(kubeconfig: Path) -> str:
    """DNS of the cluster, on the machine's end of the network."""
    return f"""\
.:53 {{
    bind {HOST}
    errors
    kubernetes {DOMAIN} {{
        kubeconfig {kubeconfig}
    }}
    cache 5
}}
"""
