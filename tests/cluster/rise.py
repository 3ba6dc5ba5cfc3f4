"""Rise on a cluster, as processes of this machine: nats-server, scheduler, operators, and workers that a test holds.

Everything is as in production, but for the workers of `Rise.worker`: theirs are the loop, the bus and the handoffs of
the real ones, and a stage that hashes instead of denoising (tests.bus.runtime.small).
"""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import rise_shapes
from rise_contracts import manifest
from rise_contracts.records import JobRecord
from rise_runtime import client
from rise_runtime.bus import Bus, connect
from rise_runtime.client import Result
from tests.bus.runtime import small
from tests.chart.charts import CHART, helm
from tests.kube.children import Child, free_ports
from tests.kube.clusters import Cluster
from tests.kube.controlplane import ControlPlane
from tests.kube.kubectl import until
from tests.servers import Server

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
SECRET = "rise-nats"
PICTURE = "a small red circle above a large blue square"


class Operator:
    """One replica of the operator, with its health on a port of its own."""

    def __init__(self, rise: Rise, name: str, more: tuple[str, ...]) -> None:
        (port,) = free_ports(1)
        self.name, self._health = name, f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "rise_operator", f"--identity={name}", f"--namespace={rise.namespace}"]
        command += [f"--kubeconfig={rise.kubeconfig}", f"--nats-url={rise.server.url}", f"--nats-secret={SECRET}"]
        environment = {**rise.environment, "RISE_HEALTH": f"127.0.0.1:{port}"}
        self.process = Child(name, [*command, *more], rise.folder / f"{name}.log", environment)

    def start(self) -> Operator:
        self.process.start()
        self.process.wait_until(lambda: self.asks("/readyz")[0] == 200, 60, "be a candidate")
        return self

    def asks(self, path: str) -> tuple[int, str]:
        """What its health server answers; 0 where it does not."""
        try:
            with urllib.request.urlopen(self._health + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.asks("/metrics")[1].splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name)


class Rise:
    """One installation in `namespace`. `close` ends all of it, whatever happened."""

    def __init__(self, cluster: Cluster, folder: Path, namespace: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.cluster, self.folder, self.namespace = cluster, folder, namespace
        self.kubeconfig = cluster.kubeconfig
        self.server = Server(folder)
        self.kubectl = cluster.kubectl(namespace)
        self.environment: dict[str, str] = {}
        self.scheduler: Child
        self._processes: list[Child] = []

    def start(self) -> Rise:
        """The bus and the scheduler up, definitions and the embedded family in the cluster."""
        self.server.start()
        path = os.pathsep.join([str(ROOT), *sys.path])
        token = self.server.token
        self.environment = {**os.environ, "RISE_NATS_TOKEN": token, "PYTHONPATH": path}
        self.environment |= {"RISE_NATS_URL": self.server.url, "OMP_NUM_THREADS": "1"}
        self.scheduler = self._child("scheduler", "-m", "rise_scheduler", "--policy", "fixed")
        self.scheduler.start()
        self.kubectl.run("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
        for plural in ("relayjobs", "modelfamilies", "stagepools"):
            self.kubectl.wait(f"crd/{plural}.rise-relay.io", "condition=Established")
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "stringData": {"token": token}}
        self.kubectl.apply(secret, manifest.dump(rise_shapes.family()))
        if isinstance(self.cluster, ControlPlane):
            self.kubeconfig = self._with_the_charts_rights(self.cluster)
        return self

    def _with_the_charts_rights(self, plane: ControlPlane) -> Path:
        """What the operator connects with: the service account of the chart, which may do what the chart says."""
        rights = "--show-only=templates/operator-rbac.yaml"
        self.kubectl.apply(helm("template", "rise", str(CHART), f"--namespace={self.namespace}", rights))
        return plane.kubeconfig_for_service_account(self.namespace, "rise-operator", 7200)

    def operator(self, name: str = "operator-a", *more: str) -> Operator:
        """A replica, started."""
        made = Operator(self, name, more)
        self._processes.append(made.process)
        return made.start()

    def worker(self, name: str, pool: str = "") -> Child:
        """A worker whose stages hash, started: `edge…` is of the pool edge, everything else of the pool device, unless
        another is named."""
        arguments = ("--url", self.server.url, "--name", name, "--folder", str(self.folder), "--slots", "1")
        worker = self._child(name, small.__file__, *arguments, *(("--pool", pool) if pool else ()))
        worker.start()
        worker.wait_until(lambda: "ready" in worker.tail(), 60, "take work")
        return worker

    def hold(self, stage: int) -> Path:
        """Have every worker wait in the midst of this stage until the file is removed."""
        path = self.folder / f"hold-{stage}"
        path.touch()
        return path

    def held(self, job_id: str) -> None:
        """Wait until a worker is held in the midst of this job."""
        until((self.folder / f"held-{job_id}").exists, lambda there: there, 60, f"job {job_id} under way")

    def submit(self, name: str, prompt: str = PICTURE, **spec: Any) -> str:
        """A RelayJob applied; its name on the bus."""
        self.kubectl.apply(job(name, prompt, **spec))
        return name

    def job(self, name: str) -> dict[str, Any]:
        return self.kubectl.get("relayjob", name)

    def until(self, name: str, kind: str, reason: str = "", seconds: float = 60.0, status: str = "") -> dict[str, Any]:
        """The job once its condition `kind` has this status ("True" unless a reason is asked for) and reason."""
        wanted = status or ("" if reason else "True")

        def holds(seen: dict[str, Any]) -> bool:
            there = condition(seen, kind)
            return there is not None and reason in ("", there["reason"]) and wanted in ("", there["status"])

        return self.kubectl.until("relayjob", name, holds, seconds)

    def events(self, name: str) -> list[str]:
        """The reasons of what was told of a job, oldest first."""
        found = self.kubectl.list("events", f"--field-selector=involvedObject.name={name}")
        return [str(event["reason"]) for event in sorted(found, key=lambda event: event["firstTimestamp"])]

    def result(self, job_id: str) -> Result:
        return self.on_bus(lambda bus: client.fetch_result(bus, job_id))

    def records(self) -> list[JobRecord]:
        """The jobs that the bus knows of."""
        return self.on_bus(client.list_jobs)

    def on_bus(self, ask: Callable[[Bus], Coroutine[Any, Any, T]]) -> T:
        """What `ask` gives, asked over a connection of its own."""

        async def asked() -> T:
            async with connect(self.server.url, self.server.token, name="test", patience=30.0) as bus:
                return await ask(bus)

        return asyncio.run(asked())

    def close(self) -> None:
        for process in self._processes:
            process.kill()
        self.server.stop()
        # Not before: an operator that is alive makes it anew, and for two minutes any other is refused for its sake.
        self.kubectl.run("delete", "lease", "rise-operator", "--ignore-not-found")

    def _child(self, name: str, *arguments: str) -> Child:
        child = Child(name, [sys.executable, *arguments], self.folder / f"{name}.log", self.environment)
        self._processes.append(child)
        return child


def job(name: str, prompt: str = PICTURE, **spec: Any) -> dict[str, Any]:
    """The manifest of a RelayJob."""
    whole = {"prompt": prompt, "seed": 7, **spec}
    return {"apiVersion": "rise-relay.io/v1alpha1", "kind": "RelayJob", "metadata": {"name": name}, "spec": whole}


def condition(seen: dict[str, Any], kind: str) -> dict[str, Any] | None:
    conditions = seen.get("status", {}).get("conditions", ())
    return next((dict(each) for each in conditions if each["type"] == kind), None)


def job_id(seen: dict[str, Any]) -> str:
    return str(seen["status"]["jobId"])
