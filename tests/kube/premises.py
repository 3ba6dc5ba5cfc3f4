"""The folder on a machine that real nodes live in, one run at a time, and the clearing away of everything in it.

Containers outlive the process that asked for them: a shim, a control group, mounts and a network namespace stay behind
where a test run is killed. All of them carry the name of this folder or lie below one of ours, so the next run, which
alone holds the lock, knows that what it finds is left over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.kube import network

ROOT = Path("/var/lib/rise-nodes")
"""Short, for a socket's path has at most 107 characters; and no tmpfs, for layers of images lie here."""
CGROUPS = Path("/sys/fs/cgroup")
TASKS = "*/state/io.containerd.runtime.v2.task/*/*"
"""In the premises: a folder for each container, called as it is; its control group is k8s.io/NAME in the machine's."""
LOGS = Path("/var/log/containers")
"""Where a kubelet links the logs of its containers, whatever it is told."""
PATIENCE = 30.0
"""Seconds for what was killed to be gone."""
PROGRAMS = ("containerd", "containerd-shim-runc-v2", "kubelet", "kube-proxy", "runc")
"""Those that may outlive a run; only they are killed by what their arguments name."""


class Occupied(Exception):
    """Another run has its nodes on this machine."""


@contextlib.contextmanager
def premises() -> Iterator[Path]:
    """The folder, empty and ours alone; cleared away at the end. Raises Occupied."""
    lock = ROOT.with_suffix(".lock")
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Occupied(f"wanted {ROOT} for this run alone, but another holds {lock}; wait for it to end") from None
        clear()
        ROOT.mkdir(mode=0o711)
        try:
            yield ROOT
        finally:
            clear()


def clear() -> None:
    """End whatever runs in the premises and remove it: processes, mounts, control groups, networks, files."""
    _end_processes()
    _remove_cgroups()
    _unmount()
    network.close_network()
    for link in LOGS.glob("*"):
        if link.is_symlink() and link.readlink().is_relative_to(ROOT):
            link.unlink()
    if ROOT.exists():
        shutil.rmtree(ROOT)


def remains() -> list[str]:
    """What is there of nodes, in words; empty where all was cleared away."""
    found = [f"process {process}" for process in sorted(_processes())]
    found += [f"mount {mount}" for mount in _mounts()]
    found += [f"control group {group}" for group in cgroups()]
    found += [f"network {name}" for name in network.remains()]
    return found + ([f"folder {ROOT}"] if ROOT.exists() else [])


def _end_processes() -> None:
    """Kill until none is left: a shim that is being born has no control group yet."""
    deadline = time.monotonic() + PATIENCE
    while found := _processes():
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"wanted processes {sorted(found)} to end when killed, they did not in {PATIENCE:g} s")
        time.sleep(0.05)


def _processes() -> set[int]:
    """Those in our control groups, and those that were started with our folder among their arguments."""
    found = {int(line) for group in cgroups() for line in _lines(group / "cgroup.procs")}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        program = Path(words[0].decode(errors="replace")).name
        if program in PROGRAMS and any(_named(word.decode(errors="replace")) for word in words):
            found.add(int(path.parent.name))
    return found - {os.getpid()}


def _named(argument: str) -> bool:
    """Whether an argument such as --config=PATH or unix://PATH names something in the premises."""
    path = argument.rsplit("=", 1)[-1].removeprefix("unix://")
    return Path(path).is_relative_to(ROOT)


def _unmount() -> None:
    for mount in _mounts():
        network.run("umount", "--lazy", mount)


def _mounts() -> list[str]:
    """The deepest first."""
    fields = (line.split() for line in _lines(Path("/proc/self/mountinfo")))
    points = (field[4].encode().decode("unicode_escape") for field in fields)
    return sorted({point for point in points if Path(point).is_relative_to(ROOT)}, reverse=True)


def _remove_cgroups() -> None:
    deadline = time.monotonic() + PATIENCE
    while found := cgroups():
        for group in found:
            with contextlib.suppress(OSError):  # a process that was killed is still leaving it
                group.rmdir()
        if time.monotonic() > deadline:
            raise TimeoutError(f"wanted {found[0]} to be removed, it was not in {PATIENCE:g} s")
        time.sleep(0.02)


def cgroups() -> list[Path]:
    """Those of our containers, in every hierarchy or in the one of version 2; the deepest first."""
    ids = [task.name for task in ROOT.glob(TASKS)]
    tops = [group for name in ids for where in ("k8s.io", "*/k8s.io") for group in CGROUPS.glob(f"{where}/{name}")]
    return sorted((Path(folder) for top in tops for folder, _, _ in os.walk(top)), reverse=True)


def _lines(path: Path) -> list[str]:
    with contextlib.suppress(OSError):
        return path.read_text().splitlines()
    return []
