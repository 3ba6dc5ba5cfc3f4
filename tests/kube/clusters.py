"""The cluster that tests run on: our own control plane unless the environment names another.

- nothing, or RISE_TEST_CLUSTER=own: `ControlPlane`, processes without Docker that are gone after the run
- RISE_TEST_CLUSTER=kind: a kind cluster made for the run; needs kind and Docker
- RISE_TEST_KUBECONFIG=FILE and RISE_TEST_CONTEXT=NAME: one that exists, by both, so that none is met by chance
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rise_contracts import errors
from tests.kube import assets
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import Kubectl

KINDS = ("own", "kind")
KIND_PATIENCE = 600.0
"""Seconds for kind to fetch its image and be ready."""


class Cluster(Protocol):
    """A cluster that answers. Its kubeconfig has one context and may make everything."""

    kubeconfig: Path

    def kubectl(self, namespace: str = "") -> Kubectl: ...

    def close(self) -> None:
        """End it, where it was made for the tests."""


@dataclass(frozen=True)
class Choice:
    """What the environment asks for; `source` and `context` are set for an existing cluster alone."""

    kind: str
    source: Path | None = None
    context: str = ""


def chosen(environ: Mapping[str, str]) -> Choice:
    """The cluster that the environment names; raises InvalidInput for half a name."""
    source, context = environ.get("RISE_TEST_KUBECONFIG", ""), environ.get("RISE_TEST_CONTEXT", "")
    kind = environ.get("RISE_TEST_CLUSTER", "")
    for field, value, other in (
        ("RISE_TEST_KUBECONFIG", source, "RISE_TEST_CONTEXT"),
        ("RISE_TEST_CONTEXT", context, "RISE_TEST_KUBECONFIG"),
    ):
        if not value and (source or context):
            hint = "tests make and delete objects there, so name file and context, or neither"
            raise errors.InvalidInput(field, f"a value beside {other}", value, hint)
    if source and kind:
        hint = "unset one of them"
        raise errors.InvalidInput("RISE_TEST_CLUSTER", "nothing beside RISE_TEST_KUBECONFIG", kind, hint)
    if source:
        return Choice("existing", Path(source), context)
    if kind and kind not in KINDS:
        raise errors.UnknownName("cluster", kind, KINDS, "RISE_TEST_CLUSTER")
    return Choice(kind or "own")


def open_cluster(folder: Path, environ: Mapping[str, str] = os.environ) -> Cluster:
    """The chosen cluster, up; what belongs to it lies in `folder`."""
    choice = chosen(environ)
    if choice.source is not None:
        return Existing(choice.source, choice.context, folder)
    if choice.kind == "kind":
        return Kind(folder)
    plane = ControlPlane(folder)
    plane.start()
    return plane


class Existing:
    """A cluster that somebody named on purpose; it is left as it is, but for what tests make in it."""

    def __init__(self, source: Path, context: str, folder: Path) -> None:
        self.kubeconfig = folder / "existing.kubeconfig"
        # Of the context alone: the operator and the workers of a test take a file, and know no context to ask for.
        view = ["config", "view", f"--kubeconfig={source}", f"--context={context}", "--minify", "--flatten", "--raw"]
        done = subprocess.run([assets.find("kubectl"), *view], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            why = done.stderr.strip().removeprefix("error: ")
            raise errors.InvalidInput("RISE_TEST_CONTEXT", f"a context in {source}", context, why)
        self.kubeconfig.touch(mode=0o600)
        self.kubeconfig.write_text(done.stdout)
        self.kubectl().run("version")

    def kubectl(self, namespace: str = "") -> Kubectl:
        return Kubectl(self.kubeconfig, namespace)

    def close(self) -> None:
        """Not ours to end."""


class Kind:
    """A kind cluster of this run's own."""

    def __init__(self, folder: Path) -> None:
        for tool in ("kind", "docker"):
            if shutil.which(tool) is None:
                hint = f"put {tool} on PATH, or leave RISE_TEST_CLUSTER out"
                raise errors.InvalidInput("RISE_TEST_CLUSTER", "a cluster that can be made here", "kind", hint)
        if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0:
            hint = "start the Docker engine, which does not answer, or leave RISE_TEST_CLUSTER out"
            raise errors.InvalidInput("RISE_TEST_CLUSTER", "a cluster that can be made here", "kind", hint)
        self.name = f"rise-test-{os.getpid()}"
        self.kubeconfig = folder / "kind.kubeconfig"
        try:
            self._kind("create", "cluster", "--wait=300s")
        except BaseException:
            # Whatever cannot be removed either, it is the first failure that is to be told.
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self.close()
            raise

    def kubectl(self, namespace: str = "") -> Kubectl:
        return Kubectl(self.kubeconfig, namespace)

    def close(self) -> None:
        self._kind("delete", "cluster")

    def _kind(self, *arguments: str) -> None:
        command = ["kind", *arguments, f"--name={self.name}", f"--kubeconfig={self.kubeconfig}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=KIND_PATIENCE, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"wanted {' '.join(command)} to work, got: {done.stderr.strip()[-2000:]}")
