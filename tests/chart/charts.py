"""The chart as Helm renders it, and what is asked of it: objects by kind, pods with their owners, selectors."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.kube import assets
from tests.locks import ROOT

CHART = ROOT / "charts" / "rise"
RELEASE, NAMESPACE = "rise", "rise-system"

Object = dict[str, Any]


class HelmFailed(Exception):
    """Helm said no; `.told` is what it said."""

    def __init__(self, arguments: Sequence[str], told: str) -> None:
        self.told = told
        super().__init__(f"helm {' '.join(arguments)}: {told.strip()}")


def helm(*arguments: str, kubeconfig: Path | None = None, timeout: float = 120.0) -> str:
    """What helm prints; raises HelmFailed."""
    where = ["--kubeconfig", str(kubeconfig)] if kubeconfig is not None else []
    command = [str(assets.find("helm")), *arguments, *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise HelmFailed(arguments, done.stderr + done.stdout)
    return done.stdout


@dataclass(frozen=True)
class Pod:
    """A pod of the chart: what makes it, its labels, its spec."""

    owner: Object
    labels: Mapping[str, str]
    spec: Object

    @property
    def name(self) -> str:
        return f"{self.owner['kind']}/{self.owner['metadata']['name']}"

    def containers(self) -> Iterator[Object]:
        yield from self.spec.get("initContainers", ())
        yield from self.spec["containers"]

    def main(self) -> Object:
        container = self.spec["containers"][0]
        assert isinstance(container, dict)
        return container


class Rendered:
    """All objects of one rendering, in Helm's order."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.objects: list[Object] = [body for body in yaml.safe_load_all(text) if body]

    def all(self, kind: str) -> list[Object]:
        return [body for body in self.objects if body["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        (found,) = [body for body in self.all(kind) if body["metadata"]["name"] == name]
        return found

    def pods(self) -> list[Pod]:
        found = []
        for body in self.objects:
            template = body.get("spec", {}).get("template")
            if body["kind"] in ("Deployment", "StatefulSet", "Job"):
                found.append(Pod(body, template["metadata"]["labels"], template["spec"]))
        return found

    def pod(self, name: str) -> Pod:
        (found,) = [pod for pod in self.pods() if pod.name == name]
        return found

    def reviewers(self) -> set[str]:
        """The service accounts that may have tokens reviewed."""
        bindings = self.all("ClusterRoleBinding")
        ours = [each for each in bindings if each["metadata"]["name"].endswith("token-review")]
        return {subject["name"] for binding in ours for subject in binding["subjects"]}

    def manifests(self) -> list[Object]:
        """What the ConfigMaps hold for the operator to apply."""
        held = [body.get("data", {}).get("manifest.yaml") for body in self.all("ConfigMap")]
        return [yaml.safe_load(text) for text in held if text is not None]


def render(*arguments: str, values: Object | None = None, folder: Path | None = None) -> Rendered:
    """The chart with `--set` and the like, or with `values` (written into `folder`)."""
    more: list[str] = []
    if values is not None:
        assert folder is not None
        file = folder / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        more = ["--values", str(file)]
    return Rendered(helm("template", RELEASE, str(CHART), "--namespace", NAMESPACE, *more, *arguments))


def as_text(*bodies: Object) -> str:
    """For kubectl's standard input."""
    return yaml.safe_dump_all(bodies)


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector, with matchLabels and In expressions, selects these labels."""
    wanted = selector.get("matchLabels", {}).items()
    listed = selector.get("matchExpressions", [])
    assert all(rule["operator"] == "In" for rule in listed)
    return all(labels.get(key) == value for key, value in wanted) and all(
        labels.get(rule["key"]) in rule["values"] for rule in listed
    )


def environment_of(container: Object) -> dict[str, str]:
    """The variables with a plain value."""
    return {item["name"]: item["value"] for item in container.get("env", ()) if "value" in item}
