"""Where a command finds its platform: at a URL, the one that is up, or one of its own while it runs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rise_cli.local import platform, scratch, state
from rise_cli.local.platform import Plan, Tell
from rise_cli.local.programs import Server
from rise_cli.local.supervisor import Supervisor
from rise_contracts import errors, resources, subjects
from rise_contracts.rights import Principal
from rise_runtime import access, client, driver
from rise_runtime import bus as buses
from rise_runtime.access import Access
from rise_runtime.bus import Bus
from rise_runtime.together import kept_up

T = TypeVar("T")

ME = Principal("user")


@dataclass(frozen=True)
class Where:
    """`server` is given with --nats; `family` is the one the job needs, None for one the platform should know."""

    server: Server | None
    plan: Plan
    family: resources.ModelFamily | None


@dataclass(frozen=True)
class Session:
    """A platform to work with. `supervisor` is there where it is one of our own."""

    bus: Bus
    supervisor: Supervisor | None = None

    async def guarded(self, work: Awaitable[T]) -> T:
        """`work`'s result; raises WorkerLost as soon as a platform of our own cannot go on."""
        return await work if self.supervisor is None else await platform.unless_broken(self.supervisor, work)


def server_from(url: str | None, environment: Mapping[str, str]) -> Server | None:
    """The server that was asked for, or None."""
    chosen, known_by = url or environment.get(access.URL), access.from_environment(environment)
    plain = known_by.token if isinstance(known_by.token, str) and known_by == Access(token=known_by.token) else None
    return Server(chosen, plain) if chosen else None


def platform_of(url: str | None, environment: Mapping[str, str]) -> Server:
    """The server that was asked for, or that of the platform which is up here. Raises NoPlatform."""
    return server_from(url, environment) or _here()


def _here() -> Server:
    note = state.running()
    if note is None:
        raise state.NoPlatform
    return Server(note.url, note.token)


@contextlib.asynccontextmanager
async def connected(server: Server | None) -> AsyncIterator[Bus]:
    """The bus of a platform that is up already. Raises BusUnavailable where there is none."""
    found = server or _here()
    async with buses.connect(found.url, found.access, name="rise-cli", inbox=ME.inbox) as bus:
        yield bus


@contextlib.asynccontextmanager
async def opened(where: Where, tell: Tell, note: Tell) -> AsyncIterator[Session]:
    """A platform that can do the job: what is there is used, what is missing is started and stopped at the end."""
    if where.server is not None:
        async with _completed(where, where.server, tell, note) as session:
            yield session
        return
    up = state.running()
    if up is not None and (where.family is None or where.family.metadata.name in up.families):
        async with buses.connect(up.url, Server(up.url, up.token).access, name="rise-cli", inbox=ME.inbox) as bus:
            yield Session(bus)
        return
    if up is not None and where.family is not None:
        tell(f"the platform that is up does not serve {where.family.metadata.name}: another one is started for this")
    async with _own(where.plan, tell, note) as session:
        yield session


@contextlib.asynccontextmanager
async def _own(plan: Plan, tell: Tell, note: Tell) -> AsyncIterator[Session]:
    with scratch.folder() as folder:
        async with driven(plan, folder, folder / "jetstream", tell, note) as running:
            yield Session(running.bus, running.supervisor)


@contextlib.asynccontextmanager
async def _completed(where: Where, server: Server, tell: Tell, note: Tell) -> AsyncIterator[Session]:
    """Add to a given server what it has not: a scheduler, workers, and a driver (several do no harm)."""
    async with buses.connect(server.url, server.access, name="rise-cli", inbox=ME.inbox) as bus:
        await client.ensure_platform(bus)
        tiers = {beat.tier for beat in await client.list_workers(bus) if beat.ready}
        scheduled = await _answers(bus)
    plan = replace(
        where.plan,
        server=server,
        scheduler=not scheduled,
        edge=0 if "edge" in tiers else where.plan.edge,
        device=0 if "device" in tiers else where.plan.device,
    )
    async with _own(plan, tell, note) as session:
        yield session


@contextlib.asynccontextmanager
async def driven(plan: Plan, folder: Path, store: Path, tell: Tell, note: Tell) -> AsyncIterator[platform.Platform]:
    """A platform of our own with its job driver."""
    async with platform.running(plan, folder, store, tell, note) as running:
        driving = asyncio.create_task(kept_up(running.bus, driver.run_driver, "the job driver"))
        try:
            yield running
        finally:
            driving.cancel()
            with contextlib.suppress(asyncio.CancelledError, errors.RiseError):
                await driving


async def _answers(bus: Bus) -> bool:
    """Whether a scheduler is there: any answer will do, also that it does not understand the question."""
    try:
        await bus.request(subjects.CONFIGURE, b"{}", timeout=2.0)
    except errors.NoResponder:
        return False
    except errors.Waited:
        return True
    return True
