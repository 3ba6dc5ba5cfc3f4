"""A platform of real processes, each behind a tap of its own: nats-server, scheduler, driver, workers of both tiers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import rise_shapes
from benchmarks.chaos import memory, modules
from benchmarks.chaos.modules import Module, Stage
from benchmarks.chaos.tap import Tap, tapped
from rise_cli.local import nats_server, processes
from rise_cli.local.platform import roomy
from rise_cli.local.processes import Child, Program
from rise_contracts import errors, subjects
from rise_contracts.model import Tier
from rise_runtime import layout
from rise_runtime.bus import Bus, open_bus
from rise_runtime.families import Families
from rise_runtime.heartbeat import Workers
from tests.kube.children import free_ports

ROOT: Final = Path(__file__).parents[2]
DRIVER, SCHEDULER, SERVER = "driver", "scheduler", "nats-server"
STAND_INS: Final = (f"{DRIVER}-2", f"{SCHEDULER}-2")
START_S: Final = 300.0
"""A model is loaded in some seconds, on a machine that is busy with other things in a minute and more."""
GRACE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Makeup:
    """What a world is made of. `stage`: workers without a model, or with the embedded family. `store`: JetStream's
    folder, where not its own. `servers`: more than one are a cluster."""

    stage: Stage = "light"
    edge: int = 2
    device: int = 2
    checkpoint_s: float = 0.3
    ack_wait_s: float = layout.ACK_WAIT_S
    store: Path | None = None
    servers: int = 1

    @property
    def workers(self) -> dict[str, Tier]:
        """Every worker's tier, by name."""
        tiers: tuple[tuple[Tier, int], ...] = (("edge", self.edge), ("device", self.device))
        return {f"{tier}-{number}": tier for tier, count in tiers for number in range(1, count + 1)}


@dataclass(slots=True)
class Part:
    """One process. It is started anew by `start` whenever it does not run."""

    program: Program
    tap: Tap | None = None
    child: Child | None = None
    standby: bool = False
    """Started only to take the place of another."""
    group: Path | None = None
    """Its memory cgroup, where there are such."""

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def running(self) -> bool:
        return self.child is not None and self.child.running

    @property
    def pid(self) -> int:
        """Raises WorkerLost where it does not run."""
        if self.child is None or not self.child.running:
            raise errors.WorkerLost(self.name, processes.last_words(self.program.log))
        return self.child.pid

    async def start(self) -> None:
        if not self.running:
            self.child = await processes.start(self.program)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def ended(self, timeout: float = 30.0) -> int:
        """Its exit code. Raises Waited where it goes on."""
        if self.child is None:
            return 0
        try:
            async with asyncio.timeout(timeout):
                return await self.child.wait()
        except TimeoutError:
            raise errors.Waited(f"the end of {self.name}", timeout) from None

    async def kill(self) -> None:
        """SIGKILL, which also ends what is frozen."""
        if self.running:
            self.signal(signal.SIGKILL)
            await self.ended()


class World:
    """Made by `world`. `bus` is the harness's own connection, behind a tap that nobody touches."""

    def __init__(self, makeup: Makeup, folder: Path, bus: Bus, url: str, token: str, parts: dict[str, Part]) -> None:
        self.makeup, self.folder, self.bus, self.url, self.token = makeup, folder, bus, url, token
        self.parts = parts

    def tap(self, name: str) -> Tap:
        tap = self.parts[name].tap
        if tap is None:
            raise errors.NotFound("tap", name, "nats-server has none")
        return tap

    def names(self, target: str) -> tuple[str, ...]:
        """The processes that a word of the table stands for: "edge worker", "driver"."""
        tier = target.removesuffix(" worker")
        return tuple(name for name, kind in self.makeup.workers.items() if kind == tier) or (target,)

    @property
    def temporary(self) -> Path:
        """Where processes put what they keep for a while."""
        return self.folder / "tmp"

    async def restore(self) -> None:
        """Start whatever does not run, and wait until all are ready for work."""
        for part in self.parts.values():
            if part.tap is not None:
                part.tap.mend()
            if not part.standby:
                await part.start()
        await self.ready()

    async def ready(self) -> None:
        """Return when every worker takes work and the scheduler answers. Raises Waited."""
        workers = Workers(self.bus)
        await workers.until_ready(self.makeup.workers, START_S, f"see the logs in {self.folder}")
        await answering(self.bus)
        pids = {name: self.parts[name].pid for name in self.makeup.workers}
        await until(lambda: self._are(workers, pids), f"the workers that run now, {sorted(pids)}", START_S)

    async def _are(self, workers: Workers, pids: Mapping[str, int]) -> bool:
        """A killed worker's last heartbeat outlives it: those that are there now must be the ones that run."""
        alive = {beat.worker: beat.pid for beat in await workers.now() if beat.ready}
        return all(alive.get(name) == pid for name, pid in pids.items())

    async def idle(self, name: str) -> None:
        """Return when the worker has said that it is at no job, by a heartbeat that is made from now on."""
        asked = time.monotonic()

        async def said() -> bool:
            beats = {beat.worker: beat for beat in await Workers(self.bus).now()}
            beat = beats.get(name)
            return beat is not None and not beat.busy_jobs and time.monotonic() - asked > 2 * subjects.HEARTBEAT_S

        await until(said, f"{name} to be idle")

    async def stop(self) -> None:
        """End every process."""
        servers = [part for part in self.parts.values() if part.name.startswith(SERVER)]
        others = [part for part in self.parts.values() if part not in servers]
        for part in others:
            if part.running:
                part.signal(signal.SIGCONT)  # what is frozen hears nothing
        await asyncio.gather(*(part.child.stop(GRACE_S) for part in others if part.child is not None))
        await self.bus.close()
        for server in servers:
            await server.kill()


async def until(condition: Callable[[], bool | Awaitable[bool]], what: str, timeout: float = 60.0) -> None:
    """Wait until `condition` holds; a bus that is away does not hold. Raises Waited, naming `what`."""
    give_up = time.monotonic() + timeout
    while True:
        with contextlib.suppress(errors.BusUnavailable, errors.NoResponder, errors.Waited, errors.Busy):
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
        if time.monotonic() > give_up:
            raise errors.Waited(what, timeout)
        await asyncio.sleep(0.02)


async def answering(bus: Bus) -> None:
    """Return when a scheduler is there."""

    async def answers() -> bool:
        await bus.request(subjects.CONFIGURE, b"{}", timeout=1.0)  # any answer will do, also that it makes no sense
        return True

    await until(answers, "an answer of the scheduler", START_S)


@contextlib.asynccontextmanager
async def world(makeup: Makeup, folder: Path) -> AsyncIterator[World]:
    """Everything of `makeup`, ready for work; all of it is gone at the end of the block."""
    token = secrets.token_urlsafe(24)
    async with contextlib.AsyncExitStack() as stack:
        groups = await stack.enter_async_context(memory.groups())
        parts = await _servers(makeup, folder, token, groups)
        for server in parts.values():
            stack.push_async_callback(server.kill)
        urls = [await started(server, folder / server.name) for server in parts.values()]
        # Of several servers the one that it knew might be the one that is killed.
        own = (await stack.enter_async_context(tapped(*urls))).url if len(urls) > 1 else urls[0]
        bus = await _opened(own, token, makeup)
        if makeup.stage == "light":
            await Families(bus).publish(rise_shapes.family())
        for name in (SCHEDULER, DRIVER, *STAND_INS, *makeup.workers):
            tap = await stack.enter_async_context(tapped(*urls))
            program = _program(name, makeup, folder, tap.url, token)
            parts[name] = _grouped(Part(program, tap, standby=name in STAND_INS), groups)
        made = World(makeup, folder, bus, urls[0], token, parts)
        stack.push_async_callback(made.stop)
        await made.restore()
        yield made


def _grouped(part: Part, groups: Path | None) -> Part:
    """The part in a memory cgroup of its own, where that is possible."""
    if groups is None:
        return part
    command = memory.joined(groups, part.name, part.program.command)
    return replace(part, program=replace(part.program, command=command), group=groups / part.name)


async def _servers(makeup: Makeup, folder: Path, token: str, groups: Path | None) -> dict[str, Part]:
    """The servers, not started yet: one is called as its kind, the others have numbers. Ports are fixed beforehand, so
    that one that is started again is where everybody looks for it."""
    names = [SERVER, *(f"{SERVER}-{number}" for number in range(2, makeup.servers + 1))]
    ports = free_ports(2 * len(names))
    routes = [f"nats://127.0.0.1:{port}" for port in ports[len(names) :]]
    found = {}
    for place, name in enumerate(names):
        own = folder / name
        own.mkdir(parents=True)
        store = roomy(makeup.store or own / "store")
        settings = nats_server.Settings(own, store, folder, token, ports[place])
        program = nats_server.prepare(settings, nats_server.find_binary())
        if makeup.servers > 1:
            with (own / "nats.conf").open("a") as file:
                file.write(_clustered(name, ports[len(names) + place], routes))
        log = folder / f"{name}.log"
        found[name] = _grouped(Part(replace(program, name=name, log=log)), groups)
    return found


def _clustered(name: str, port: int, routes: Sequence[str]) -> str:
    """The rest of the configuration of a server among others. It tells clients of none of them: they come by taps."""
    own = f'name: "rise", listen: "127.0.0.1:{port}", no_advertise: true, routes: [{", ".join(routes)}]'
    return f'server_name: "{name}"\ncluster {{ {own} }}\n'


async def started(server: Part, folder: Path) -> str:
    """The server's URL, as soon as it listens."""
    await server.start()
    await until(lambda: nats_server.address_in(folder) is not None, f"{server.name} to listen", 10.0)
    return nats_server.address_in(folder) or ""


async def _opened(url: str, token: str, makeup: Makeup) -> Bus:
    """The harness's connection. A cluster takes a while to choose who leads it, and has no JetStream until then."""
    give_up = time.monotonic() + START_S
    while True:
        try:
            bus = await open_bus(url, token, name="rise-chaos", patience=10.0)
            await layout.ensure(bus)
            if makeup.servers == 1 or bus.replicas > 1:
                return bus
            await bus.close()
        except errors.RiseError:
            if time.monotonic() > give_up:
                raise
        await asyncio.sleep(0.2)


def _program(name: str, makeup: Makeup, folder: Path, url: str, token: str) -> Program:
    """How a process behind a tap is started."""
    temporary = folder / "tmp" / name
    temporary.mkdir(parents=True)
    env = {
        "RISE_NATS_URL": url,
        "RISE_NATS_TOKEN": token,
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }
    return Program(name, (sys.executable, "-m", *_module(name, makeup)), folder / f"{name}.log", env)


def _module(name: str, makeup: Makeup) -> Module:
    name = name.removesuffix("-2") if name in STAND_INS else name
    if name == DRIVER:
        return ("benchmarks.chaos.driver",)
    if name == SCHEDULER:
        return modules.scheduler()
    often = ("--checkpoint-s", f"{makeup.checkpoint_s:g}")
    return modules.worker(makeup.stage, name, makeup.workers[name], makeup.ack_wait_s, *often)
