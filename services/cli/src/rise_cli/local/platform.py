"""Starting a whole platform on this machine, in the order in which its parts need each other, and stopping it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rise_cli import families
from rise_cli.local import nats_server, programs
from rise_cli.local.programs import Server, Surroundings
from rise_cli.local.supervisor import Supervisor
from rise_contracts import errors
from rise_contracts.model import Tier
from rise_runtime import bus as buses
from rise_runtime import heartbeat, layout
from rise_runtime.bus import Bus
from rise_runtime.families import Families

T = TypeVar("T")
Tell = Callable[[str], None]

START_S = 300.0
"""Loading large members from a slow disk takes its time; the embedded family needs a few seconds."""
GRACE_S = 3.0
_KEYS = "jetstream/*/streams/*/meta.key"
"""What nats-server leaves beside a stream that it encrypts: accounts, and their streams."""
LEAST_ROOM = 64 * 2**20
"""Below this a store is as good as full: JetStream refuses to make streams, in words that name no disk."""


@dataclass(frozen=True)
class Plan:
    """What to start.

    `families`: built-in names and manifests; none means the embedded family. `server` None: a nats-server of our own,
    on `port` or one that the system chooses. `judge`: look also at pictures that no `rise run` waits for. `audit`: the
    share of jobs (0 to 1) that are held against the base member. `scorer`: who scores a share of the jobs, `scored`, of
    families that no program can judge, on a `scale` of its raw scores; see `rise_contracts.scorers`.
    """

    families: tuple[str, ...] = ()
    edge: int = 1
    device: int = 1
    scheduler: bool = True
    judge: bool = False
    audit: float = 0.0
    scorer: str | None = None
    scored: float = 0.0
    scale: tuple[float, float] | None = None
    threads: int | None = None
    policy: str | None = None
    server: Server | None = None
    port: int | None = None
    logs: Path | None = None
    start_s: float = START_S


@dataclass(frozen=True)
class Platform:
    server: Server
    bus: Bus
    supervisor: Supervisor
    ready_seconds: float


@contextlib.asynccontextmanager
async def running(plan: Plan, folder: Path, store: Path, tell: Tell, note: Tell) -> AsyncIterator[Platform]:
    """Everything in `plan`, ready for work; stopped at the end of the block, whatever ended it.

    `folder` takes configuration, logs and what is temporary, `store` what JetStream keeps. `note` is told what is
    being waited for. Raises DiskFull where there is no room for them.
    """
    began = time.monotonic()
    logs = _writable(plan.logs or folder)
    temporary = _writable(folder / "tmp")
    async with contextlib.AsyncExitStack() as stack:
        supervisor = Supervisor(tell)
        stack.push_async_callback(supervisor.stop, GRACE_S)
        note("starting the message bus")
        server = plan.server or await start_nats(plan, supervisor, folder, store, logs)
        bus = await stack.enter_async_context(buses.connect(server.url, server.access, name="rise-cli", patience=5.0))
        await layout.ensure(bus)
        await _make_known(plan.families, bus)
        names = await _start_processes(plan, Surroundings(server, logs, temporary), supervisor)
        note("starting the workers")
        await unless_broken(
            supervisor, heartbeat.Workers(bus).until_ready(names, plan.start_s, "see rise doctor", note)
        )
        supervisor.keep()
        yield Platform(server, bus, supervisor, time.monotonic() - began)


async def _make_known(named: Sequence[str], bus: Bus) -> None:
    """Tell everybody of the families: a worker of the tier device may not, and there may be no other."""
    for name in named or (families.EMBEDDED,):
        await Families(bus).publish(families.find(name, Path(name)))


async def unless_broken(supervisor: Supervisor, work: Awaitable[T]) -> T:
    """`work`'s result, or the reason why the supervisor gave up, whichever comes first."""
    task = asyncio.ensure_future(work)
    broken = asyncio.ensure_future(supervisor.until_broken())
    try:
        await asyncio.wait({task, broken}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await broken
        return await task
    finally:
        for one in (task, broken):
            one.cancel()
        await asyncio.gather(task, broken, return_exceptions=True)


async def start_nats(plan: Plan, supervisor: Supervisor, folder: Path, store: Path, logs: Path) -> Server:
    binary = nats_server.find_binary()
    settings = nats_server.Settings(folder, readable(roomy(store)), logs, secrets.token_urlsafe(24), plan.port)
    await supervisor.add(nats_server.prepare(settings, binary))
    try:
        url = await unless_broken(supervisor, _until_listening(folder, 10.0))
    except errors.WorkerLost as error:
        raise _explain(error, plan.port, store) from error
    # Should it die and be started again, then where everybody looks for it.
    port = int(url.rsplit(":", 1)[1])
    nats_server.prepare(replace(settings, port=port), binary)
    return Server(url, settings.token)


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.DiskFull(str(folder), error.strerror or str(error)) from error
    return folder


def roomy(store: Path, least: int = LEAST_ROOM) -> Path:
    """The folder, made where it is missing. Raises DiskFull where it has less than `least` bytes left."""
    free = shutil.disk_usage(_writable(store)).free
    if free < least:
        raise errors.DiskFull(str(store), f"wanted {least >> 20} MiB of room for the queues, got {free >> 20} MiB")
    return store


def readable(store: Path) -> Path:
    """The folder, unless it has what was written with a key. Our server has none, would start all the same, and throw
    away each stream that is to be made and is there in this way. Raises InvalidInput."""
    if any(store.glob(_KEYS)):
        hint = "move the folder away; or start a nats-server that has the key on it, and name that with --nats"
        raise errors.InvalidInput("the store", "what was written without a key", str(store), hint)
    return store


def _explain(error: errors.WorkerLost, port: int | None, store: Path) -> errors.RiseError:
    text = str(error)
    if "address already in use" in text:
        return errors.InvalidInput("--port", "a free port", port, "another program listens there; choose another")
    if "no space left" in text or "permission denied" in text or "read-only" in text:
        return errors.DiskFull(str(store), text)
    return error


async def _until_listening(folder: Path, patience: float) -> str:
    give_up = time.monotonic() + patience
    while (url := nats_server.address_in(folder)) is None:
        if time.monotonic() > give_up:
            raise errors.Waited("nats-server listening", patience, "start it by hand to see why: nats-server -js")
        await asyncio.sleep(0.01)
    return url


async def _start_processes(plan: Plan, where: Surroundings, supervisor: Supervisor) -> tuple[str, ...]:
    tiers: tuple[tuple[Tier, int], ...] = (("edge", plan.edge), ("device", plan.device))
    # On a server of somebody else's there may be workers with our plain names.
    suffix = f"-{secrets.token_hex(2)}" if plan.server else ""
    workers = [
        programs.worker(f"{tier}-{number}{suffix}", tier, where, plan.families, plan.threads)
        for tier, count in tiers
        for number in range(1, count + 1)
    ]
    scheduler = [programs.scheduler(where, plan.policy)] if plan.scheduler else []
    judges = [programs.judge(where)] if plan.judge else []
    auditors = [programs.auditor(where, plan.audit)] if plan.audit else []
    scorers = [programs.scorer(where, plan.scorer, plan.scored, plan.scale)] if plan.scorer else []
    for program in (*scheduler, *workers, *judges, *scorers, *auditors):
        await supervisor.add(program)
    return tuple(program.name for program in workers)
