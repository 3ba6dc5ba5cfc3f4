"""Ending a process as the kernel does where memory runs out: by its out-of-memory killer, in a group of its own."""

from __future__ import annotations

import contextlib
import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
_ROOM: Final = 32 * 2**20
"""What the group may take beyond what the process has when it is put there."""
_ASKED: Final = _ROOM + 8 * 2**20
"""What is asked for then: more than there is, and less than there will be once the process is gone."""
_BALLAST: Final = (
    "import os,sys;"
    "open(f'/proc/{os.getpid()}/oom_score_adj','w').write('-1000');"
    "open(sys.argv[1],'w').write(str(os.getpid()));"
    "b=b'x'*int(sys.argv[2])"
)


def lacks() -> str:
    """What is missing for it on this machine; empty where nothing is."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "root on Linux, for a memory cgroup"
    controllers = ROOT / "cgroup.controllers"
    second = controllers.exists() and "memory" in controllers.read_text().split()
    return "" if second or (ROOT / "memory" / "memory.limit_in_bytes").exists() else "the memory controller of cgroups"


@contextlib.contextmanager
def group() -> Iterator[Path]:
    """A memory cgroup, removed at the end of the block; what is still in it goes back to where it may."""
    second = (ROOT / "cgroup.controllers").exists()
    folder = (ROOT if second else ROOT / "memory") / f"rise-chaos-{secrets.token_hex(4)}"
    if second:
        with contextlib.suppress(OSError):
            (ROOT / "cgroup.subtree_control").write_text("+memory")
    folder.mkdir()
    try:
        yield folder
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                (folder.parent / "cgroup.procs").write_text(pid)
        folder.rmdir()


def squeeze(folder: Path, pid: int) -> list[str]:
    """Put the process into the group and take its memory away; the command of the ballast that has to run beside it.

    Version 2 kills at once as the limit falls below what is in use, and needs no ballast (an empty command). Version 1
    refuses such a limit, and kills when more is asked for: by a process that cannot be killed, so that it is ours.
    """
    if (folder / "memory.max").exists():
        (folder / "cgroup.procs").write_text(str(pid))
        (folder / "memory.max").write_text("0")
        return []
    (folder / "memory.move_charge_at_immigrate").write_text("1")
    (folder / "cgroup.procs").write_text(str(pid))
    used = int((folder / "memory.usage_in_bytes").read_text())
    (folder / "memory.limit_in_bytes").write_text(str(used + _ROOM))
    return [sys.executable, "-I", "-S", "-c", _BALLAST, str(folder / "cgroup.procs"), str(_ASKED)]
