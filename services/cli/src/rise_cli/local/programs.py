"""How each process of the platform is started. The one place that knows their command lines."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import rise_shapes
from rise_cli.local.processes import Program
from rise_contracts.model import Tier
from rise_runtime import access
from rise_runtime.access import Access

WORKER_VARIABLE = "RISE_WORKER_COMMAND"
"""Another command that runs a stage worker and takes the same flags, for example in a container or a sandbox."""


@dataclass(frozen=True)
class Server:
    """A NATS server to talk to. Without a `token` the environment says who we are, which our own processes inherit."""

    url: str
    token: str | None = None

    @property
    def access(self) -> Access:
        return Access(token=self.token) if self.token else access.from_environment(os.environ)

    def env(self) -> dict[str, str]:
        """For our own processes: the environment cannot be read by other users, an argv can."""
        return {access.URL: self.url, **(access.only(self.token) if self.token else {})}


@dataclass(frozen=True)
class Surroundings:
    """What the processes of one platform share. `temporary` is gone when the platform is, with all they left in it:
    torch, for one, makes a folder for its caches as soon as it is imported."""

    server: Server
    logs: Path
    temporary: Path

    def env(self) -> dict[str, str]:
        return {**self.server.env(), "TMPDIR": str(self.temporary)}


def scheduler(where: Surroundings, policy: str | None = None) -> Program:
    env = {**where.env(), **({"RISE_POLICY": policy} if policy else {})}
    prior = f"{rise_shapes.family().metadata.name}={rise_shapes.prior_file()}"
    command = (sys.executable, "-m", "rise_scheduler", "--prior", prior)
    return Program("scheduler", command, where.logs / "scheduler.log", env)


def judge(where: Surroundings) -> Program:
    """Who looks at the pictures that nobody waits for; see `rise_stage.judge`."""
    return _helper("judge", (sys.executable, "-m", "rise_stage.judge"), where)


def scorer(where: Surroundings, chosen: str, share: float, scale: tuple[float, float] | None = None) -> Program:
    """Who scores a share of the jobs that no program can judge; see `rise_stage.scoring`."""
    marks = ("--range", *(repr(mark) for mark in scale)) if scale else ()
    command = (sys.executable, "-m", "rise_stage.scoring", chosen, "--share", f"{share:g}", *marks)
    return _helper("scorer", command, where)


def auditor(where: Surroundings, share: float) -> Program:
    """Who holds a share of the jobs against the base member; see `rise_cli.audit`."""
    command = (sys.executable, "-m", "rise_cli.audit", "--share", f"{share:g}")
    return _helper("auditor", command, where)


def _helper(name: str, command: tuple[str, ...], where: Surroundings) -> Program:
    """What only says how good pictures are: no job needs it."""
    return Program(name, command, where.logs / f"{name}.log", where.env(), needed=False)


def worker(
    name: str, tier: Tier, where: Surroundings, families: Sequence[str] = (), threads: int | None = None
) -> Program:
    """A worker of a tier; its pool is named like the tier."""
    command = stage_command(name, tier, tier, families)
    env = {**where.env(), **({"RISE_THREADS": str(threads)} if threads else {})}
    return Program(name, tuple(command), where.logs / f"{name}.log", env)


def stage_command(name: str, tier: Tier, pool: str, families: Sequence[str] = ()) -> list[str]:
    """What starts a worker, without its settings."""
    start = shlex.split(os.environ.get(WORKER_VARIABLE, "")) or [sys.executable, "-m", "rise_stage"]
    named = [word for family in families for word in ("--family", family)]
    return [*start, "--tier", tier, "--pool", pool, "--name", name, *named]
