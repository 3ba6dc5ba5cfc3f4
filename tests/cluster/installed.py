"""A control plane on which nothing of Rise was, and the chart in it: what the tests of the chart stand on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.chart.charts import CHART, helm
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl

Rights = dict[tuple[str, str], set[str]]
"""Verbs by group with resource, and name (empty: of any name)."""


@dataclass(frozen=True)
class Release:
    """An installation of the chart by this name in this namespace."""

    plane: ControlPlane
    namespace: str
    name: str = "rise"

    @property
    def kubectl(self) -> Kubectl:
        return self.plane.kubectl(self.namespace)

    def install(self, *arguments: str) -> None:
        self._helm("install", self.name, str(CHART), "--create-namespace", *arguments)

    def upgrade(self, *arguments: str) -> None:
        self._helm("upgrade", self.name, str(CHART), *arguments)

    def uninstall(self) -> None:
        self._helm("uninstall", self.name, "--timeout", "30s")

    def test(self, seconds: int) -> str:
        """`helm test`: what it says; raises HelmFailed."""
        return self._helm("test", self.name, "--timeout", f"{seconds}s", timeout=seconds + 30.0)

    def token(self) -> str:
        return str(self.kubectl.get("secret", f"{self.name}-nats")["data"]["token"])

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


def written(folder: Path, values: Mapping[str, Any]) -> str:
    """A file of values for helm."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(dict(values)))
    return str(file)
