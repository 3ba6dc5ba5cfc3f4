"""Child processes that never outlive this one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rise_cli.local import guard

MODE = "exec" if sys.platform == "linux" else "watch"


@dataclass(frozen=True)
class Program:
    """What to run. Secrets go into `env` or a file, never into `command`: argv can be read by every user."""

    name: str
    command: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    last: bool = False
    """Stopped only when the others are gone: they need it to say goodbye."""
    needed: bool = True
    """Jobs need it. Without one that they do not need, the platform goes on."""


class Child:
    """One running program. It has a session of its own, so that Ctrl-C reaches the parent alone, which then stops
    its children in order."""

    def __init__(self, program: Program, process: asyncio.subprocess.Process, pipe: int) -> None:
        self.program, self._process, self._pipe = program, process, pipe

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        """The exit code, negative for a signal."""
        code = await self._process.wait()
        self._close_pipe()
        return code

    async def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL to its whole session where that was not enough within `grace` seconds."""
        if self.running:
            # To this process alone: a guard passes it on, and a program that hears it twice ends at once.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace)
        # Also after a clean exit: the program may have left children of its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        await self.wait()

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


async def start(program: Program, mode: str = MODE) -> Child:
    """Start `program`, its output appended to its log file.

    Call this from the main thread: the kernel ties a child to the *thread* that started it.
    """
    reading, writing = os.pipe()
    script = guard.__file__ or "guard.py"
    command = (sys.executable, "-I", "-S", script, mode, str(os.getpid()), str(reading), "--", *program.command)
    try:
        with program.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **program.env},
                pass_fds=(reading,),
                start_new_session=True,
            )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    return Child(program, process, writing)


def last_words(log: Path, limit: int = 240) -> str:
    """The last line a program wrote, for an error message; empty where it wrote none."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return _message(lines[-1].strip())[-limit:] if lines else ""


def _message(line: str) -> str:
    """The text of a log line: our processes write JSON, others plain text."""
    try:
        parsed = json.loads(line)
    except ValueError:
        return line
    return str(parsed.get("message", line)) if isinstance(parsed, dict) else line
