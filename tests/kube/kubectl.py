"""kubectl as a function: arguments in, text or parsed objects out, its own words in the error."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from tests.kube import assets

T = TypeVar("T")

Object = Mapping[str, Any]
"""A Kubernetes object as its JSON says it."""


class KubectlFailed(Exception):
    """kubectl said no; `.command`, `.exit_code`, and `.stderr` with the API server's words."""

    def __init__(self, command: Sequence[str], exit_code: int, stderr: str) -> None:
        self.command, self.exit_code, self.stderr = tuple(command), exit_code, stderr
        super().__init__(f"kubectl {' '.join(command)}: exit code {exit_code}: {stderr.strip()}")


class TookTooLong(AssertionError):
    """What was waited for did not come; the message holds what was last seen."""


@dataclass(frozen=True)
class Kubectl:
    """Talks to the current context of `kubeconfig`, in `namespace` where one is set."""

    kubeconfig: Path
    namespace: str = ""

    def within(self, namespace: str) -> Kubectl:
        """The same, in another namespace."""
        return replace(self, namespace=namespace)

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60.0) -> str:
        """What kubectl prints; raises KubectlFailed. `timeout` in seconds bounds a server that does not answer."""
        # Discovery is cached by address for minutes, and an address may belong to another control plane by then.
        own = [f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.kubeconfig}.cache"]
        if self.namespace:
            own.append(f"--namespace={self.namespace}")
        command = [str(assets.find("kubectl")), *own, *arguments]
        try:
            done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise KubectlFailed(arguments, -1, f"no answer within {timeout:g} s") from None
        if done.returncode != 0:
            raise KubectlFailed(arguments, done.returncode, done.stderr)
        return done.stdout

    def apply(self, *manifests: Object | str, server_side: bool = True) -> None:
        """Objects, or YAML texts of one or more, into the cluster in this order."""
        parsed = [yaml.safe_load_all(each) if isinstance(each, str) else [each] for each in manifests]
        items = [each for several in parsed for each in several if each]
        how = ["--server-side", "--force-conflicts"] if server_side else []
        self.run("apply", *how, "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def get(self, kind: str, name: str, *arguments: str) -> dict[str, Any]:
        """One object; raises KubectlFailed where there is none."""
        found = json.loads(self.run("get", kind, name, "-o", "json", *arguments))
        assert isinstance(found, dict)
        return found

    def list(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """All objects of a kind; arguments such as `-l app=x` narrow them."""
        found = json.loads(self.run("get", kind, "-o", "json", *arguments))["items"]
        assert isinstance(found, list)
        return found

    def exists(self, kind: str, name: str) -> bool:
        """Whether there is such an object."""
        return bool(self.run("get", kind, name, "--ignore-not-found", "-o", "name").strip())

    def delete(self, kind: str, name: str, *arguments: str) -> None:
        """Without waiting for it to be gone, unless the arguments say so; gone already is as good."""
        self.run("delete", kind, name, "--ignore-not-found", "--wait=false", *arguments)

    def wait(self, what: str, condition: str, seconds: float = 30.0) -> None:
        """kubectl's own wait: `wait("pod/x", "condition=Ready")`; raises KubectlFailed at the deadline."""
        self.run("wait", what, f"--for={condition}", f"--timeout={seconds:g}s", timeout=seconds + 15)

    def until(
        self, kind: str, name: str, holds: Callable[[dict[str, Any]], object], seconds: float = 30.0
    ) -> dict[str, Any]:
        """The object as soon as something true holds of it; an object that is not there is an empty one."""
        return until(lambda: self._get_or_empty(kind, name), holds, seconds, f"{kind}/{name}")

    def _get_or_empty(self, kind: str, name: str) -> dict[str, Any]:
        text = self.run("get", kind, name, "--ignore-not-found", "-o", "json")
        found = json.loads(text) if text.strip() else {}
        assert isinstance(found, dict)
        return found


def until(look: Callable[[], T], holds: Callable[[T], object], seconds: float, what: str) -> T:
    """What `look` sees as soon as it `holds`; raises TookTooLong with what was seen last."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if holds(seen):
            return seen
        if time.monotonic() > deadline:
            shown = json.dumps(seen, indent=1, default=str)[-4000:]
            raise TookTooLong(f"{what}: waited {seconds:g} s in vain; last seen:\n{shown}")
        time.sleep(0.1)
