"""Run a command that dies with the process that asked for it, however that one dies.

Run as a script with the standard library alone, so that it costs some ten milliseconds:

    python -I -S guard.py MODE PARENT_PID FD -- command ...

On Linux (`exec`) the kernel is asked to kill this process when its parent is gone (PR_SET_PDEATHSIG survives exec),
and the command takes this process's place. Elsewhere (`watch`) this process stays: it holds the reading end of a
pipe whose writing end only the parent has, and kills the command when the pipe closes. Both are needed: the first
has no second process, the second needs no kernel feature.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from types import FrameType

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process with its parent; leave at once where the parent is gone already."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


def watch(command: list[str], fd: int) -> int:
    """Run `command` as a child until it ends or `fd` closes; signals to stop are passed on to it."""
    early: list[int] = []
    pass_on = early.append

    def on_signal(number: int, _frame: FrameType | None) -> None:
        pass_on(number)

    # Before the child starts: a signal between its start and this would end the guard and orphan the child.
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    child = subprocess.Popen(command)
    pass_on = child.send_signal
    for number in early:
        child.send_signal(number)

    def kill_at_end_of_pipe() -> None:
        while os.read(fd, 64):
            pass
        child.kill()

    threading.Thread(target=kill_at_end_of_pipe, daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def main(argv: list[str]) -> int:
    mode, parent, fd = argv[0], int(argv[1]), int(argv[2])
    command = argv[argv.index("--") + 1 :]
    if mode == "exec":
        die_with_parent(parent)
        os.close(fd)
        os.execvp(command[0], command)  # does not return
    return watch(command, fd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
