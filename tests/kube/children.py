"""Server processes of a test: each with its log, and none outlives the test run, however that ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rise_cli.local import guard


class DidNotStart(Exception):
    """A server ended or stayed silent; the message ends with the last lines of its log."""


class Child:
    """One process that can be killed, started again, and held still. Its log goes on over restarts."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.name, self.log = name, log
        self._command, self._environ = tuple(command), environ
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = -1

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the last one that ran, minus the signal that ended it; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """From the main thread: the kernel ties a child to the thread that started it."""
        assert not self.running, f"{self.name} runs already"
        # The guard makes the child die with us also where we are killed and no `finally` runs.
        mode = "exec" if sys.platform == "linux" else "watch"
        reading, self._pipe = os.pipe()
        own = [sys.executable, "-I", "-S", guard.__file__, mode, str(os.getpid()), str(reading), "--"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*own, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                pass_fds=(reading,),
                start_new_session=True,
            )
        os.close(reading)

    def signal(self, number: int) -> None:
        """To the process and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def terminate(self, grace: float) -> None:
        """SIGTERM to the process alone, and SIGKILL to all of its session after `grace` seconds."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, which also ends what is held still."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait()
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Until `ready`; raises DidNotStart where the process ends first or the time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise DidNotStart(f"wanted {self.name} to {what}, but it ended:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise DidNotStart(f"wanted {self.name} to {what} within {seconds:g} s, it did not:\n{self.tail()}")
            time.sleep(0.05)


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on, all of them different."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((host, 0))
        return [int(each.getsockname()[1]) for each in sockets]
