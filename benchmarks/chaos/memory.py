"""Ending a process as the kernel does where memory runs out: by its out-of-memory killer, in a cgroup of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
_ROOM: Final = 4 * 2**20
"""What the group may take beyond what the process has; more, by as much each time, where the kernel grants no less."""
_ASKERS: Final = 64
_JOIN: Final = 'echo $$ > "$0" && exec "$@"'
_ASK: Final = 'echo $$ > "$0" && dd if=/dev/zero bs=2M status=none | sleep 60'
"""Two megabytes that a small process has, and keeps: nobody reads what it writes."""


@cache
def lacks() -> str:
    """What is missing for it on this machine; empty where nothing is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "root on Linux, for a memory cgroup"
    return "" if _second() or (ROOT / "memory" / "memory.limit_in_bytes").exists() else "the cgroups' memory controller"


def _second() -> bool:
    """Whether it is version 2 that controls memory."""
    controllers = ROOT / "cgroup.controllers"
    return controllers.exists() and "memory" in controllers.read_text().split()


@contextlib.asynccontextmanager
async def groups() -> AsyncIterator[Path | None]:
    """A cgroup for groups of processes, removed at the end of the block with all that are in it; None where they
    cannot be made."""
    if lacks():
        yield None
        return
    folder = (ROOT if _second() else ROOT / "memory") / f"rise-chaos-{secrets.token_hex(4)}"
    _make(folder)
    try:
        yield folder
    finally:
        for group in (*(each for each in folder.iterdir() if each.is_dir()), folder):
            await _remove(group)


def joined(parent: Path, name: str, command: tuple[str, ...]) -> tuple[str, ...]:
    """The command, in a group of its own from its first breath: what it had before would not be counted."""
    group = parent / name
    _make(group)
    return ("/bin/sh", "-c", _JOIN, str(group / "cgroup.procs"), *command)


async def take_away(group: Path, ended: Callable[[], bool]) -> None:
    """Have the kernel kill what is in the group; `ended` says whether it has.

    Version 2 does so as the limit falls below what is in use. Version 1 refuses such a limit, and kills the largest
    when more is asked for than there is: so small ones ask.
    """
    if (group / "memory.max").exists():
        (group / "memory.max").write_text("0")
        return
    _limit(group)
    asking: list[asyncio.subprocess.Process] = []
    try:
        while not ended() and len(asking) < _ASKERS:
            command = ("/bin/sh", "-c", _ASK, str(group / "cgroup.procs"))
            asking.append(await asyncio.create_subprocess_exec(*command, start_new_session=True))
            await asyncio.sleep(0.05)
    finally:
        (group / "memory.limit_in_bytes").write_text("-1")
        for each in asking:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
            await each.wait()


def _limit(group: Path) -> None:
    """Leave it little more than it has, and name it first. Raises OSError where the kernel never agrees."""
    for pid in (group / "cgroup.procs").read_text().split():
        Path(f"/proc/{pid}/oom_score_adj").write_text("1000")
    for room in range(1, 64):
        try:
            (group / "memory.limit_in_bytes").write_text(str(_resident(group) + room * _ROOM))
            return
        except OSError:
            continue
    raise OSError(f"the kernel takes no limit for {group}")


def give_back(group: Path) -> None:
    """No limit any more, for the process that comes next."""
    if (group / "memory.max").exists():
        (group / "memory.max").write_text("max")


def _resident(group: Path) -> int:
    """Bytes that cannot be read again from a file: what a page cache takes is given up for others."""
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(stat["total_rss"]) + int(stat.get("total_shmem", 0))


def _make(folder: Path) -> None:
    if _second():
        with contextlib.suppress(OSError):
            (folder.parent / "cgroup.subtree_control").write_text("+memory")
    folder.mkdir(exist_ok=True)


async def _remove(group: Path) -> None:
    """As soon as its processes, which are dead, are out of it."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            os.rmdir(group)  # noqa: PTH106 (in memory, as all of this file system)
            return
        await asyncio.sleep(0.05)
