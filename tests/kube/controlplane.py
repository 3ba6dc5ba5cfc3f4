"""A real Kubernetes control plane as child processes: etcd, API server, controller manager, scheduler.

Everything lies in one folder, listens on one address, and ends with the test run. There is no node: join process nodes
(tests.kube.process_node) or kubelets to it. Compared with a cluster as it comes, a node that falls silent is noticed
within seconds instead of a minute, and its pods are evicted after seconds instead of minutes.
"""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.kube import assets
from tests.kube.children import Child, free_ports
from tests.kube.kubectl import Kubectl
from tests.kube.pki import Authority, Pair

PATIENCE = 90.0
"""Seconds for one process to be up; a free machine needs a tenth of it."""
NODE_SILENT = 8
"""Seconds without a renewed Lease after which a node is not ready."""
EVICTED = 5
"""Seconds that pods stay bound to a node that is not ready, unless they tolerate it for longer."""


class ControlPlane:
    """One control plane; `start` it, then use `kubeconfig` or `kubectl()`, and `close` it whatever happened.

    `host` is the address to listen on, which nodes with a network of their own must reach. `more` adds flags by
    process: {"kube-controller-manager": ["--allocate-node-cidrs=true"]}.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", more: Mapping[str, Sequence[str]] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.host = folder, host
        self.kubeconfig = folder / "admin.kubeconfig"
        self._authority = Authority(folder / "pki")
        self._etcd, self._peer, self._api, self._manager, self._scheduler = free_ports(5, host)
        self._more = more or {}
        self._children = {name: self._child(name) for name in assets.CONTROL_PLANE}

    @property
    def url(self) -> str:
        return f"https://{self.host}:{self._api}"

    @property
    def ca_file(self) -> Path:
        return self._authority.pair.certificate

    def start(self) -> None:
        """All four up and the first controllers at work; raises DidNotStart with the end of a log."""
        try:
            self._serve_etcd()
            self._write_kubeconfigs()
            self.start_api()
            for name, port in (("kube-controller-manager", self._manager), ("kube-scheduler", self._scheduler)):
                self._children[name].start()
                self._await(name, f"https://{self.host}:{port}/healthz")
            # The first thing that only a working controller makes; pods are refused before it is there.
            self._children["kube-controller-manager"].wait_until(
                lambda: self.kubectl("default").exists("serviceaccount", "default"), PATIENCE, "make a service account"
            )
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill everything; the folder with the logs stays."""
        for child in reversed(self._children.values()):
            child.kill()

    def pause_api(self) -> None:
        """The API server hangs: connections stay open, nothing is answered."""
        self._children["kube-apiserver"].signal(signal.SIGSTOP)

    def resume_api(self) -> None:
        self._children["kube-apiserver"].signal(signal.SIGCONT)

    def kill_api(self) -> None:
        """The API server is gone: connections break and are refused."""
        self._children["kube-apiserver"].kill()

    def start_api(self) -> None:
        """The API server back on its port, ready; with what etcd holds."""
        self._children["kube-apiserver"].start()
        self._await("kube-apiserver", f"{self.url}/readyz")

    def restart(self, name: str) -> None:
        """Kill and start one of the four again; for the API server there are calls of its own."""
        self._children[name].kill()
        self._children[name].start()

    def kill(self, name: str) -> None:
        """End one of the four, until `restore`."""
        self._children[name].kill()

    def restore(self) -> None:
        """Whatever was killed or held still goes on, and the API server answers."""
        self.resume_api()
        for name, child in self._children.items():
            if not child.running:
                child.start()
            if name == "etcd":
                self._await(name, f"http://{self.host}:{self._etcd}/readyz")
        self._await("kube-apiserver", f"{self.url}/readyz")

    def pids(self) -> dict[str, int]:
        """The process of each of the four."""
        return {name: child.pid for name, child in self._children.items()}

    def resident_bytes(self) -> dict[str, int]:
        """Memory that each of the four holds now."""
        import psutil

        return {name: psutil.Process(pid).memory_info().rss for name, pid in self.pids().items()}

    def kubectl(self, namespace: str = "") -> Kubectl:
        """kubectl as the administrator."""
        return Kubectl(self.kubeconfig, namespace)

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        """A kubeconfig with a client certificate for this user, who may do what RBAC lets him."""
        name = "user-" + "".join(letter if letter.isalnum() else "-" for letter in user)
        pair = self._authority.client(name, user, groups)
        return self._write(name, _certificate_of(pair))

    def kubeconfig_for_service_account(self, namespace: str, name: str, seconds: int = 3600) -> Path:
        """A kubeconfig with a token as a pod of this service account would have it (TokenRequest)."""
        token = self.kubectl(namespace).run("create", "token", name, f"--duration={seconds}s").strip()
        return self._write(f"account-{namespace}-{name}", {"token": token})

    def _write_kubeconfigs(self) -> None:
        # Its own group, as kubeadm does; RBAC has no way to shut system:masters out.
        admin = self._authority.client("admin", "kubernetes-admin", ["system:masters"])
        self._write("admin", _certificate_of(admin))
        for name in ("kube-controller-manager", "kube-scheduler"):
            self._write(name, _certificate_of(self._authority.client(name, f"system:{name}")))

    def _write(self, name: str, user: Mapping[str, str]) -> Path:
        path = self.folder / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(json.dumps(kubeconfig(self.url, self.ca_file, user), indent=1))
        return path

    def _serve_etcd(self) -> None:
        self._children["etcd"].start()
        self._await("etcd", f"http://{self.host}:{self._etcd}/readyz")

    def _await(self, name: str, url: str) -> None:
        self._children[name].wait_until(lambda: _answers(url), PATIENCE, f"answer {url}")

    def _child(self, name: str) -> Child:
        flags = {
            "etcd": self._etcd_flags,
            "kube-apiserver": self._api_flags,
            "kube-controller-manager": self._manager_flags,
            "kube-scheduler": self._scheduler_flags,
        }[name]()
        command = [str(assets.find(name)), *flags, *self._more.get(name, ())]
        return Child(name, command, self.folder / f"{name}.log")

    def _etcd_flags(self) -> list[str]:
        mine, peers = f"http://{self.host}:{self._etcd}", f"http://{self.host}:{self._peer}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={mine}",
            f"--advertise-client-urls={mine}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # nothing here has to outlive the machine
            "--log-level=warn",
        ]

    def _api_flags(self) -> list[str]:
        addresses = ["DNS:localhost", "DNS:kubernetes.default.svc", "IP:127.0.0.1", "IP:10.96.0.1"]
        if self.host != "127.0.0.1":
            addresses.append(f"IP:{self.host}")
        serving = self._authority.serving("kube-apiserver", addresses)
        to_kubelets = self._authority.client("to-kubelets", "kube-apiserver", ["system:masters"])
        self._account_key, public = self._authority.key_pair("service-accounts")
        # Endpoints may not be loopback addresses, so there `kubernetes.default` has none.
        reconciler = "none" if self.host.startswith("127.") else "lease"
        return [
            f"--etcd-servers=http://{self.host}:{self._etcd}",
            f"--bind-address={self.host}",
            f"--advertise-address={self.host}",
            f"--secure-port={self._api}",
            f"--endpoint-reconciler-type={reconciler}",
            f"--cert-dir={self.folder / 'pki'}",
            f"--client-ca-file={self.ca_file}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--kubelet-client-certificate={to_kubelets.certificate}",
            f"--kubelet-client-key={to_kubelets.key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={public}",
            f"--service-account-signing-key-file={self._account_key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--default-not-ready-toleration-seconds={EVICTED}",
            f"--default-unreachable-toleration-seconds={EVICTED}",
        ]

    def _manager_flags(self) -> list[str]:
        return [
            *self._client_flags("kube-controller-manager", self._manager),
            f"--service-account-private-key-file={self._account_key}",
            f"--root-ca-file={self.ca_file}",
            "--use-service-account-credentials=true",
            "--node-monitor-period=1s",
            f"--node-monitor-grace-period={NODE_SILENT}s",
        ]

    def _scheduler_flags(self) -> list[str]:
        return self._client_flags("kube-scheduler", self._scheduler)

    def _client_flags(self, name: str, port: int) -> list[str]:
        config = self.folder / f"{name}.kubeconfig"
        return [
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            f"--bind-address={self.host}",
            f"--secure-port={port}",
            "--leader-elect=false",
        ]


def kubeconfig(url: str, ca_file: Path, user: Mapping[str, str]) -> dict[str, Any]:
    """A kubeconfig with one context, `rise-test`, that needs no other file."""
    cluster = {"server": url, "certificate-authority-data": _text(ca_file)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "rise-test",
        "clusters": [{"name": "rise-test", "cluster": cluster}],
        "users": [{"name": "rise-test", "user": dict(user)}],
        "contexts": [{"name": "rise-test", "context": {"cluster": "rise-test", "user": "rise-test"}}],
    }


def _certificate_of(pair: Pair) -> dict[str, str]:
    return {"client-certificate-data": _text(pair.certificate), "client-key-data": _text(pair.key)}


def _text(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _answers(url: str) -> bool:
    """Whether a health address says yes; who serves it is not in question, for it is our own child."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusting))
    with contextlib.suppress(OSError, urllib.error.URLError), opener.open(url, timeout=2) as answer:
        return bool(answer.status == 200)
    return False
