"""Rise on a control plane, as processes: two operators, the scheduler, workers of both tiers, each behind taps.

As in production but for what is named in `Makeup`: no containers, and workers without a model where the picture does
not matter. The operators have the rights of the chart and no more.
"""

from __future__ import annotations

import secrets
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import rise_shapes
from benchmarks.chaos import memory
from benchmarks.chaos.cluster.api_tap import ApiTap, makes_pod
from benchmarks.chaos.cluster.chronicle import Chronicle, followed
from benchmarks.chaos.cluster.makeup import (
    HOME,
    JOBS,
    OPERATORS,
    PODS,
    ROOT,
    SCHEDULER,
    Makeup,
    environment,
    namespace,
    secret,
)
from benchmarks.chaos.cluster.wires import Wires
from benchmarks.chaos.modules import Module
from benchmarks.chaos.tap import Tap, tapped
from rise_cli.local import nats_server
from rise_contracts import errors, manifest, subjects
from rise_operator.api import LEASES, RELAY_JOBS, Kind
from rise_runtime.bus import connect
from rise_runtime.heartbeat import Workers
from tests.chart.charts import CHART, helm
from tests.kube.api import Api, Json, Refused, Unreachable
from tests.kube.children import Child, free_ports
from tests.kube.controlplane import ControlPlane

T = TypeVar("T")
START_S: Final = 300.0
END_S: Final = 60.0
LOOK_S: Final = 0.05
TOKEN_S: Final = 4 * 3600
"""How long the operators' rights last."""


@dataclass(slots=True)
class Part:
    """One process, its tap on the bus and, for an operator, its tap on the API server."""

    child: Child
    tap: Tap
    api: ApiTap | None = None
    frozen: bool = False

    def freeze(self) -> None:
        self.child.signal(signal.SIGSTOP)
        self.frozen = True

    def wake(self) -> None:
        self.child.signal(signal.SIGCONT)
        self.frozen = False


class World:
    """One installation in `HOME`, whose jobs are in `JOBS`. `start` it, and `close` it whatever happened."""

    def __init__(self, folder: Path, makeup: Makeup) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.makeup, self.token = folder, makeup, secrets.token_hex(16)
        self.plane = ControlPlane(folder / "plane")
        self.wires, self.chronicle = Wires(), Chronicle()
        self.parts: dict[str, Part] = {}
        self.server: Child
        self.pods: Tap
        """Between the bus and all workers that are pods."""
        self._health: dict[str, str] = {}
        self._groups: Path | None = None

    def start(self) -> World:
        self.plane.start()
        url = self._start_server()
        self._install()
        self.bus = self.wires.enter(connect(url, self.token, name="rise-chaos", patience=30.0))
        self.api = self.wires.enter(Api(self.plane.kubeconfig))
        self.pods = self.wires.enter(tapped(url))
        self._groups = self.wires.enter(memory.groups())
        for name in (*OPERATORS, SCHEDULER, *self.makeup.names):
            self.parts[name] = self._part(name, url)
        self.wires.enter(followed(self.plane.kubeconfig, self.chronicle))
        self.restore()
        return self

    def close(self) -> None:
        for part in self.parts.values():
            part.child.kill()
        self.wires.close()
        if hasattr(self, "server"):
            self.server.kill()
        self.plane.close()

    # Its parts

    def tap(self, name: str) -> Tap:
        return self.pods if name == PODS else self.parts[name].tap

    def leader(self) -> str:
        """Who has the Lease; empty where nobody has."""
        lease = self.ask("GET", LEASES, HOME, "rise-operator")
        return str(lease["spec"].get("holderIdentity") or "")

    def standby(self) -> str:
        leader = self.leader()
        return next(name for name in OPERATORS if name != leader)

    def restore(self) -> None:
        """Start what does not run, wake what is frozen, and wait until all of it is ready for work."""
        self.plane.restore()
        if not self.server.running:
            self.start_server()
        for part in self.parts.values():
            self.wires.do(part.tap.mend)
            if part.frozen:
                part.wake()
        self.until(self._all_run, START_S, "every process to run")
        self.until(self._leads, START_S, "an operator to lead")
        self.until(self.works, START_S, f"every worker to take work; see the logs in {self.folder}")

    def starve(self, name: str) -> None:
        """Have the kernel kill a process for want of memory. Raises NotFound where it cannot be made to, RuntimeError
        where the process ends otherwise."""
        if self._groups is None:
            raise errors.NotFound("cgroup", name, memory.lacks())
        child, group = self.parts[name].child, self._groups / name
        self.wires.call(memory.take_away(group, lambda: not child.running))
        self.ended(name)
        memory.give_back(group)
        if child.exit_code != -signal.SIGKILL:
            raise RuntimeError(f"wanted the kernel to kill {name} for want of memory, got exit code {child.exit_code}")

    def start_server(self) -> None:
        """nats-server again, where it was; return when it takes connections."""
        for old in (self.folder / "nats").glob("*.ports"):
            old.unlink()
        self.server.start()
        self.server.wait_until(lambda: nats_server.address_in(self.folder / "nats") is not None, START_S, "listen")

    def start_again(self, name: str) -> None:
        """Start a part that has ended, and wait until it is ready."""
        child = self.parts[name].child
        if not child.running:
            child.start()
        if name in OPERATORS:
            child.wait_until(lambda: self.is_ready(name), START_S, "be a candidate")
        elif name in self.makeup.names:
            self.until(self.works, START_S, f"{name} to take work")

    def supervise(self) -> None:
        """Start every process that has ended by itself, as a kubelet does."""
        for part in self.parts.values():
            if not part.child.running:
                part.child.start()

    def ended(self, name: str) -> None:
        """Return when the process has ended. Raises Waited."""
        self.until(lambda: not self.parts[name].child.running, END_S, f"{name} to end")

    def is_ready(self, name: str) -> bool:
        """Whether an operator is a candidate, or leads."""
        return _answers(f"http://{self._health[name]}/readyz")

    # What is asked of it

    def ask(self, method: str, kind: Kind, namespace: str | None, name: str = "", body: Json | None = None) -> Json:
        """One request to the API server, as the administrator. Raises Refused, or one of Unreachable."""
        return self.wires.call(self.api.call(method, kind.path(namespace, name), body))

    def submit(self, name: str, spec: Json) -> Json:
        """A RelayJob as the API server took it, at once or when its answer was lost."""
        body = {"apiVersion": RELAY_JOBS.version, "kind": "RelayJob", "metadata": {"name": name}, "spec": spec}
        try:
            return self.ask("POST", RELAY_JOBS, JOBS, body=body)
        except Refused as error:
            if error.status != 409:
                raise
            return self.ask("GET", RELAY_JOBS, JOBS, name)

    def delete(self, name: str) -> None:
        """The RelayJob deleted; gone already is as good."""
        try:
            self.ask("DELETE", RELAY_JOBS, JOBS, name)
        except Refused as error:
            if error.status != 404:
                raise

    def is_gone(self, kind: Kind, name: str) -> bool:
        """Whether there is no such object without a namespace any more."""
        try:
            self.ask("GET", kind, None, name)
        except Refused as error:
            return error.status == 404
        return False

    def tells(self, secret: str) -> list[str]:
        """Processes of Rise in whose logs this is."""
        logs = [self.folder / f"{name}.log" for name in self.parts]
        return [f"{path.name} tells the prompt" for path in logs if secret in path.read_text(errors="replace")]

    def pods_made(self, job: str) -> list[float]:
        """When the operators asked for the pods of this job that were made for it alone."""
        makes = makes_pod(job)
        taps = [part.api for part in self.parts.values() if part.api is not None]
        return [at for tap in taps for at, asked in tap.changed if makes(asked)]

    def until(self, holds: Callable[[], T | None], seconds: float, what: str) -> T:
        """What `holds` gives as soon as that is true; a server that is away is none. Raises Waited."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                if found := holds():
                    return found
            except (Refused, *Unreachable, errors.RiseError):
                pass
            if time.monotonic() > deadline:
                raise errors.Waited(what, seconds)
            time.sleep(LOOK_S)

    # How it is made

    def _start_server(self) -> str:
        own = self.folder / "nats"
        own.mkdir()
        settings = nats_server.Settings(own, own / "store", self.folder, self.token)
        program = nats_server.prepare(settings, nats_server.find_binary())
        self.server = Child(program.name, program.command, program.log)
        self.start_server()
        url = nats_server.address_in(own) or ""
        # Started again, it is where everybody looks for it.
        nats_server.prepare(replace(settings, port=int(url.rsplit(":", 1)[1])), nats_server.find_binary())
        return url

    def _install(self) -> None:
        kubectl = self.plane.kubectl(HOME)
        kubectl.run("apply", "--server-side", "-f", str(ROOT / "crds"))
        kubectl.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
        rights = helm("template", "rise", str(CHART), f"--namespace={HOME}", "--show-only=templates/operator-rbac.yaml")
        kubectl.apply(namespace(HOME), namespace(JOBS))
        kubectl.apply(secret(self.token), manifest.dump(rise_shapes.family()), rights)

    def _part(self, name: str, url: str) -> Part:
        tap = self.wires.enter(tapped(url))
        if name not in OPERATORS:
            return Part(self._child(name, self.makeup.module(name), environment(tap.url, self.token)), tap)
        api = ApiTap(self.plane.kubeconfig_for_service_account(HOME, "rise-operator", TOKEN_S), name)
        self.wires.enter(api.serving())
        self._health[name] = f"127.0.0.1:{free_ports(1)[0]}"
        module = self.makeup.operator(name, api.kubeconfig, self.pods.url)
        environ = environment(tap.url, self.token, RISE_HEALTH=self._health[name])
        return Part(self._child(name, module, environ), tap, api)

    def _child(self, name: str, module: Module, environ: Mapping[str, str]) -> Child:
        command: tuple[str, ...] = (sys.executable, "-m", *module)
        if self._groups is not None:
            command = memory.joined(self._groups, name, command)
        return Child(name, command, self.folder / f"{name}.log", environ)

    def _all_run(self) -> bool:
        self.supervise()
        return all(self.is_ready(name) for name in OPERATORS)

    def _leads(self) -> bool:
        """Whether one of the living operators has the Lease and renews it."""
        spec: Mapping[str, Any] = self.ask("GET", LEASES, HOME, "rise-operator")["spec"]
        silent = (datetime.now(UTC) - datetime.fromisoformat(spec["renewTime"])).total_seconds()
        return spec.get("holderIdentity") in OPERATORS and silent < self.makeup.lease_s / 2

    def works(self) -> bool:
        """Whether the workers that run are those that say they are ready, and the scheduler answers."""
        beats = self.wires.call(Workers(self.bus).now())
        alive = {beat.worker: beat.pid for beat in beats if beat.ready}
        self.wires.call(self.bus.request(subjects.CONFIGURE, b"{}", timeout=1.0))  # any answer will do
        return all(alive.get(name) == self.parts[name].child.pid for name in self.makeup.names)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
