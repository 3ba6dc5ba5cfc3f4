"""A control plane on which nothing of Rise was, and the chart in it: what the tests of the chart stand on."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from tests.chart.charts import CHART, Rendered, helm
from tests.cluster.conftest import TIER
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl
from tests.kube.pod_status import Image
from tests.kube.process_node import ProcessNode
from tests.servers import Server

Rights = dict[tuple[str, str], set[str]]
"""Verbs by group with resource, and name (empty: of any name)."""


OPERATOR = "rise-operator"


@dataclass(frozen=True)
class Release:
    """An installation of the chart by this name in this namespace. `chart` may be an older one."""

    plane: ControlPlane
    namespace: str
    name: str = "rise"
    chart: Path = CHART

    @property
    def kubectl(self) -> Kubectl:
        return self.plane.kubectl(self.namespace)

    def install(self, *arguments: str) -> None:
        self._helm("install", self.name, str(self.chart), "--create-namespace", *arguments)

    def upgrade(self, *arguments: str) -> None:
        self._helm("upgrade", self.name, str(self.chart), *arguments)

    def uninstall(self) -> None:
        self._helm("uninstall", self.name, "--timeout", "30s")

    def test(self, seconds: int) -> str:
        """`helm test`: what it says; raises HelmFailed."""
        return self._helm("test", self.name, "--timeout", f"{seconds}s", timeout=seconds + 30.0)

    def operators_environment(self) -> dict[str, str]:
        """What stands for the token that a pod of the operator finds mounted: process nodes mount nothing."""
        return {"RISE_KUBECONFIG": str(self.plane.folder / f"account-{self.namespace}-{OPERATOR}.kubeconfig")}

    def nodes(self, folder: Path, images: Mapping[str, Image]) -> list[ProcessNode]:
        """One node for each tier, not started yet."""
        return [self._node(tier, folder / f"{tier}-1", images) for tier in ("edge", "device")]

    def _node(self, tier: str, folder: Path, images: Mapping[str, Image]) -> ProcessNode:
        own = self.plane.kubeconfig_for(f"system:node:{tier}-1", ["system:nodes"])
        return ProcessNode(f"{tier}-1", self.plane.kubectl(), own, folder, images, labels={TIER: tier})

    def key(self) -> str:
        """What opens NATS to a user."""
        return str(self.kubectl.get("secret", f"{self.name}-nats-user")["data"]["login"])

    def key_of_the_store(self) -> str:
        """What the store of NATS is encrypted with."""
        return str(self.kubectl.get("secret", f"{self.name}-nats-encryption")["data"]["key"])

    def rights(self, account: str, namespace: str) -> Rights:
        """What a service account may do in a namespace, beyond what everybody may, in the API server's own words."""
        kubeconfig = self.plane.kubeconfig_for_service_account(self.namespace, account)
        everybody = self.plane.kubeconfig_for("somebody")
        mine, theirs = (rules_of(Kubectl(who), namespace) for who in (kubeconfig, everybody))
        left = {key: verbs - theirs.get(key, set()) for key, verbs in mine.items()}
        return {key: verbs for key, verbs in left.items() if verbs}

    def _helm(self, *arguments: str, timeout: float = 120.0) -> str:
        return helm(*arguments, "--namespace", self.namespace, kubeconfig=self.plane.kubeconfig, timeout=timeout)


def rules_of(kubectl: Kubectl, namespace: str) -> Rights:
    """What `kubectl auth can-i --list` prints, as values."""
    asked = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    review = json.loads(kubectl.run("create", "--validate=false", "-f", "-", "-o", "json", stdin=json.dumps(asked)))
    assert not review["status"]["incomplete"]
    found: Rights = {}
    for rule in review["status"]["resourceRules"]:
        for group in rule.get("apiGroups", []):
            for resource in rule.get("resources", []):
                for name in rule.get("resourceNames") or [""]:
                    key = (f"{resource}.{group}" if group else resource, name)
                    found.setdefault(key, set()).update(rule["verbs"])
    return found


def granted(rendered: Rendered, account: str, home: str, namespace: str) -> Rights:
    """What the rules of the chart give a service account of `home` in a namespace, in the form of `rules_of`."""
    roles = {(each["kind"], _space(each, home), each["metadata"]["name"]): each for each in rendered.objects}
    found: Rights = {}
    for binding in (*rendered.all("ClusterRoleBinding"), *rendered.all("RoleBinding")):
        own = {"kind": "ServiceAccount", "name": account, "namespace": home} in binding["subjects"]
        space, to = _space(binding, home), binding["roleRef"]
        if not own or space not in ("", namespace):
            continue
        for rule in roles[to["kind"], "" if to["kind"] == "ClusterRole" else space, to["name"]]["rules"]:
            for group, resource in itertools.product(rule["apiGroups"], rule["resources"]):
                for name in rule.get("resourceNames") or [""]:
                    key = (f"{resource}.{group}" if group else resource, name)
                    found.setdefault(key, set()).update(rule["verbs"])
    return found


def _space(body: Mapping[str, Any], home: str) -> str:
    """The namespace that Helm makes it in; empty for what has none."""
    of_all = str(body["kind"]).startswith("Cluster")
    return "" if of_all else str(body["metadata"].get("namespace", home))


def values(server: Server) -> dict[str, Any]:
    """An external bus, and pools whose workers find room here."""
    pools = {tier: {"tier": tier, "replicas": 1, "resources": None} for tier in ("edge", "device")}
    return {
        "nats": {"enabled": False, "url": server.url, "existingSecret": "bus"},
        "operator": {"leaseSeconds": 3},
        "pools": pools,
        "test": {"timeoutSeconds": 120},
    }


def bring_defaults(release: Release, environment: Mapping[str, str] = MappingProxyType({})) -> str:
    """What the init container of the operator's pods does, as the chart calls it; process nodes have none."""
    release.plane.kubeconfig_for_service_account(release.namespace, OPERATOR)
    pod = release.kubectl.get("deployment", OPERATOR)["spec"]["template"]["spec"]
    (container,) = pod["initContainers"]
    command = [sys.executable, *container["command"][1:], *container["args"]]
    own = {"RISE_NAMESPACE": release.namespace, **release.operators_environment(), **environment}
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def pool_is(status: str, pool: Mapping[str, Any]) -> bool:
    conditions = pool.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == status for each in conditions)


def written(folder: Path, values: Mapping[str, Any]) -> str:
    """A file of values for helm."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    return str(file)
