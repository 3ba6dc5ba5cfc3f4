"""The platform of a run: server, scheduler, judge, driver, and three workers behind links of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from benchmarks.demo import paced_stage
from benchmarks.demo.links import ShapedProxy
from benchmarks.demo.world import PHASES, WORKERS, Phase
from rise_cli.local import platform, programs
from rise_cli.local.platform import Plan
from rise_cli.local.processes import Program
from rise_cli.local.programs import Server, Surroundings
from rise_cli.local.supervisor import Supervisor
from rise_contracts import errors
from rise_runtime import bus as buses
from rise_runtime import driver, heartbeat, layout
from rise_runtime.bus import Bus

START_S: Final = 120.0
GRACE_S: Final = 3.0
LABEL: Final = "worker"


@dataclass(frozen=True)
class Ground:
    """A platform that is up, and the handles by which it drifts."""

    bus: Bus
    proxies: Mapping[str, ShapedProxy]
    pace: Path

    def enter(self, phase: Phase) -> None:
        """From now on the machines and links are as in this phase."""
        write_pace(self.pace, phase.paces())
        for worker, proxy in self.proxies.items():
            proxy.link = phase.link(worker)


@contextlib.asynccontextmanager
async def standing(folder: Path, policy: str | None) -> AsyncIterator[Ground]:
    """All of it, with nothing learned yet; gone at the end of the block. `policy` None is the scheduler's own choice.

    Raises WorkerLost or Waited where something does not come up.
    """
    temporary, pace = _prepared(folder)
    async with contextlib.AsyncExitStack() as stack:
        # Before the processes, which so can say goodbye over them.
        proxies = {name: ShapedProxy(PHASES[0].link(name)) for name in WORKERS}
        for proxy in proxies.values():
            await stack.enter_async_context(proxy.listening())
        supervisor = Supervisor(print)
        stack.push_async_callback(supervisor.stop, GRACE_S)
        server = await platform.start_nats(Plan(), supervisor, folder, folder / "store", folder)
        for proxy in proxies.values():
            proxy.target = _address(server)
        bus = await stack.enter_async_context(buses.connect(server.url, server.token, name="demo", patience=5.0))
        await layout.ensure(bus)
        where = Surroundings(server, folder, temporary)
        workers = [worker(name, where, proxy.port, pace) for name, proxy in proxies.items()]
        for program in (programs.scheduler(where, policy), programs.judge(where), *workers):
            await supervisor.add(program)
        await platform.unless_broken(supervisor, heartbeat.Workers(bus).until_ready(WORKERS, START_S, "see their logs"))
        supervisor.keep()
        driving = asyncio.create_task(driver.run_driver(bus))
        try:
            yield Ground(bus, proxies, pace)
        finally:
            driving.cancel()
            await asyncio.gather(driving, return_exceptions=True)


def worker(name: str, where: Surroundings, port: int, pace: Path) -> Program:
    """A worker of the demo, which reaches the server over its link."""
    shaped = Surroundings(Server(f"nats://127.0.0.1:{port}", where.server.token), where.logs, where.temporary)
    tier = WORKERS[name]
    flags = ("--tier", tier, "--pool", tier, "--name", name, "--label", f"{LABEL}={name}")
    env = {**shaped.env(), paced_stage.VARIABLE: str(pace), "RISE_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-m", "benchmarks.demo.paced_stage", *flags)
    return Program(name, command, where.logs / f"{name}.log", env)


def _prepared(folder: Path) -> tuple[Path, Path]:
    """The folder for what is temporary, and the file of the paces."""
    temporary, pace = folder / "tmp", folder / "pace.json"
    temporary.mkdir(parents=True, exist_ok=True)
    write_pace(pace, PHASES[0].paces())
    return temporary, pace


def write_pace(file: Path, pace: Mapping[str, float]) -> None:
    """All at once: a worker may be reading it."""
    half = file.with_suffix(".half")
    half.write_text(json.dumps(dict(pace)))
    half.replace(file)


def _address(server: Server) -> tuple[str, int]:
    parts = urlsplit(server.url)
    if parts.hostname is None or parts.port is None:
        raise errors.InvalidInput("NATS server", "a URL with a host and a port", server.url)
    return parts.hostname, parts.port
