"""What an installation of the matrix is made of: names, command lines, objects. Pure."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from benchmarks.chaos import modules
from benchmarks.chaos.modules import Module
from rise_contracts.model import Tier
from rise_runtime.layout import ACK_WAIT_S

ROOT: Final = Path(__file__).parents[3]
HOME, JOBS, SECRET = "rise-system", "chaos", "rise-nats"
"""The namespaces of the operators and of the jobs, and the Secret with the bus's token."""
SCHEDULER, PODS = "scheduler", "pods"
OPERATORS: Final = ("operator-a", "operator-b")
TIERS: Final[tuple[Tier, ...]] = ("edge", "device")
WORKERS: Final = {f"{tier} worker": tier for tier in TIERS}
"""The tier of each word of the table."""
Kinds = Literal["light", "real", "pods"]


@dataclass(frozen=True, slots=True)
class Makeup:
    """What differs. `stage`: workers without a model, or the embedded family's, or these in pods (see `pods`);
    `lease_s`: the operators' lease; `per_tier`: workers of each."""

    stage: Kinds = "light"
    lease_s: float = 10.0
    per_tier: int = 2

    @property
    def names(self) -> dict[str, Tier]:
        """Every worker's tier, by name; none where they are pods."""
        if self.stage == "pods":
            return {}
        return {f"{tier}-{number}": tier for tier in TIERS for number in range(1, self.per_tier + 1)}

    def workers(self, target: str) -> list[str]:
        """What "edge worker" or "device worker" stands for: these processes, or all pods; nobody for other words."""
        if target not in WORKERS:
            return []
        return [name for name, tier in self.names.items() if tier == WORKERS[target]] or [PODS]

    def module(self, name: str) -> Module:
        """How the scheduler, or a worker, is started."""
        if name == SCHEDULER:
            return modules.scheduler()
        return modules.worker("light" if self.stage == "light" else "real", name, self.names[name], ACK_WAIT_S)

    def operator(self, name: str, kubeconfig: Path, url_of_pods: str) -> Module:
        """How an operator is started."""
        own = (f"--identity={name}", f"--namespace={HOME}", f"--kubeconfig={kubeconfig}", f"--nats-secret={SECRET}")
        times = (f"--lease-seconds={self.lease_s:g}", "--resync-seconds=30")
        return ("rise_operator", *own, f"--stage-nats-url={url_of_pods}", *times)


def environment(url: str, token: str, **more: str) -> Mapping[str, str]:
    """Of every process."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    own = {"RISE_NATS_URL": url, "RISE_NATS_TOKEN": token, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own, **more}


def namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def secret(token: str) -> dict[str, Any]:
    """The token of the bus, for pods."""
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"token": token}}
