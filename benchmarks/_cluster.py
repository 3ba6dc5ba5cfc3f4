"""Rise on a real control plane, each part a process: API server and etcd, NATS, scheduler, operator, stage workers.

The workers skip the arithmetic (`benchmarks._idle_stage`) and are on the bus without a StagePool: there is no node to
run its pods.
"""

from __future__ import annotations

import os
import secrets
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks._bus import PATIENCE_S, start_nats
from tests.kube.children import Child, DidNotStart, free_ports
from tests.kube.controlplane import ControlPlane

ROOT = Path(__file__).parents[1]
OPERATOR, SCHEDULER = "operator", "scheduler"


@dataclass(frozen=True)
class Installed:
    """A platform that runs. `parts` are its processes by name; the operator is started and stopped by its user."""

    plane: ControlPlane
    parts: Mapping[str, Child]
    health: str

    @property
    def operator(self) -> Child:
        return self.parts[OPERATOR]

    def start_operator(self) -> None:
        """Return when it serves its metrics."""
        self.operator.start()
        self.operator.wait_until(self._answers, PATIENCE_S, f"answer {self.health}")

    def check(self) -> None:
        """Raise DidNotStart where a part has ended."""
        for part in self.parts.values():
            if not part.running:
                raise DidNotStart(f"wanted {part.name} to run, but it ended:\n{part.tail()}")

    def cpu_seconds(self) -> dict[str, float]:
        """What each process has used of the processors since its start, the API server's included."""
        pids = {name: part.pid for name, part in self.parts.items() if part.running}
        pids |= self.plane.pids() | {"client": os.getpid()}
        return {name: sum(psutil.Process(pid).cpu_times()[:2]) for name, pid in pids.items()}

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """The operator's metrics now, by name and labels."""
        with urllib.request.urlopen(f"http://{self.health}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        families = text_string_to_metric_families(text)
        return {(each.name, tuple(sorted(each.labels.items()))): each.value for f in families for each in f.samples}

    def _answers(self) -> bool:
        try:
            return bool(self.metrics())
        except OSError:
            return False


@contextmanager
def installed(folder: Path, family: str, slots: int) -> Iterator[Installed]:
    """Start everything but the operator."""
    with ExitStack() as closing:
        plane = ControlPlane(folder / "plane")
        closing.callback(plane.close)
        plane.start()
        plane.kubectl().run("apply", "--server-side", "-f", str(ROOT / "crds"))
        plane.kubectl().run("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        token = secrets.token_hex(16)
        nats, url = start_nats(folder, token, closing)
        (port,) = free_ports(1)
        health = f"127.0.0.1:{port}"
        environ = {**os.environ, "RISE_NATS_TOKEN": token, "PYTHONPATH": str(ROOT)}
        own = ("--nats-url", url, "--family", family, "--slots", str(slots))
        commands = {
            SCHEDULER: ("rise_scheduler", "--nats-url", url, "--policy", "fixed"),
            OPERATOR: ("rise_operator", "--nats-url", url, "--kubeconfig", str(plane.kubeconfig)),
            **{tier: ("benchmarks._idle_stage", "--tier", tier, *own) for tier in ("edge", "device")},
        }
        parts = {"nats": nats}
        for name, command in commands.items():
            variables = {**environ, "RISE_HEALTH": health} if name == OPERATOR else environ
            parts[name] = Child(name, (sys.executable, "-m", *command), folder / f"{name}.log", variables)
            closing.callback(parts[name].kill)
            if name != OPERATOR:
                parts[name].start()
        yield Installed(plane, parts, health)
