"""What the control groups of Linux leave this process of the machine's memory, version 1 and version 2.

A container's limit is that of its group and of every group around it: the pod's, the node's for pods. How much of them
can be seen depends on the namespaces that the container has, so the kernel is asked where they are (cgroups(7)).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

PROCESS: Final = Path("/proc/self")


class _Files(NamedTuple):
    """The files of a group, and the line of `memory.stat` with what the kernel drops first."""

    limit: str
    used: str
    droppable: str


_FILES: Final = {
    "cgroup": _Files("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    "cgroup2": _Files("memory.max", "memory.current", "inactive_file"),
}


def left_by_groups(process: Path = PROCESS) -> int:
    """Bytes that the process may still take; without a limit more than any machine has.

    Files that were read and can be read again are counted as free, as the kubelet does: a worker that has just read
    its weights would otherwise have no room to use them.
    """
    return min((_left(group, files) for group, files in _groups(process)), default=sys.maxsize)


def _groups(process: Path) -> Iterator[tuple[Path, _Files]]:
    """The folders of the process' own group and of those around it, as far as they can be seen."""
    try:
        mounts, own = ((process / name).read_text().splitlines() for name in ("mountinfo", "cgroup"))
    except OSError:
        return
    for mount in mounts:
        # ID PARENT DEVICE ROOT MOUNTED-AT OPTIONS [TAGS] - TYPE SOURCE OPTIONS (proc_pid_mountinfo(5))
        before, _, after = mount.partition(" - ")
        (_, _, _, root, at, *_), (kind, _, options) = before.split(), after.split(" ", 2)
        controls = kind == "cgroup" and "memory" in options.split(",")
        if kind == "cgroup2" or controls:
            top = Path(at)
            group = top / _below(root, _path(own, "memory" if controls else ""))
            yield from ((each, _FILES[kind]) for each in (group, *group.parents) if each.is_relative_to(top))


def _path(own: list[str], controller: str) -> str:
    """The process' group in the hierarchy of a controller; that of version 2 has none."""
    for line in own:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path
    return "/"


def _below(root: str, path: str) -> str:
    """`path` as seen from `root`, which is what is mounted; a group outside of that has its limits there, too."""
    inside = Path(path)
    return str(inside.relative_to(root)) if inside.is_relative_to(root) and ".." not in inside.parts else "."


def _left(group: Path, files: _Files) -> int:
    try:
        limit, used = ((group / name).read_text().strip() for name in (files.limit, files.used))
        stat = (group / "memory.stat").read_text() if (group / "memory.stat").exists() else ""
    except OSError:
        return sys.maxsize  # the topmost group has no limit, and a hierarchy without the controller no files
    if not limit.isdecimal():
        return sys.maxsize
    lines = (line.split() for line in stat.splitlines())
    droppable = next((int(line[1]) for line in lines if line[:1] == [files.droppable]), 0)
    return max(0, int(limit) - max(0, int(used) - droppable))
