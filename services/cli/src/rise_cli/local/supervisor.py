"""Keeps child processes running: starts again what dies, gives up on what keeps dying, stops all at the end.

What jobs need ends the platform where it cannot be kept running; anything else is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from rise_cli.local import processes, restarts
from rise_cli.local.processes import Child, Program
from rise_contracts import errors

log = logging.getLogger(__name__)


class Supervisor:
    """`tell` is called with a line for a person when something happens that they should know."""

    def __init__(self, tell: Callable[[str], None] = log.warning) -> None:
        self._tell = tell
        self._children: dict[str, Child] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._stopping = False
        self._started = False
        self.broken: asyncio.Future[errors.WorkerLost] = asyncio.get_running_loop().create_future()
        """Set once, with the reason, when a program that is needed cannot be kept running."""

    async def add(self, program: Program) -> None:
        """Start `program` and keep it running from now on."""
        child = await processes.start(program)
        self._children[program.name] = child
        self._watchers[program.name] = asyncio.create_task(self._watch(program, child))

    def keep(self) -> None:
        """Everything has started: from now on a death is an accident. Before, it means that starting will not work."""
        self._started = True

    def pids(self) -> dict[str, int]:
        """The process ids of what runs now, by name."""
        return {name: child.pid for name, child in self._children.items() if child.running}

    async def stop(self, grace: float) -> None:
        """Stop everything: all at the same time, but those marked `last` after the others."""
        self._stopping = True
        for watcher in self._watchers.values():
            watcher.cancel()
        await asyncio.gather(*self._watchers.values(), return_exceptions=True)
        for last in (False, True):
            leaving = [child for child in self._children.values() if child.program.last is last]
            await asyncio.gather(*(child.stop(grace) for child in leaving))
        if self.broken.done():
            self.broken.exception()  # it was for whoever asked; nobody may have
        self.broken.cancel()

    async def until_broken(self) -> None:
        """Return never; raises WorkerLost when a program that is needed cannot be kept running."""
        raise await asyncio.shield(self.broken)

    async def _watch(self, program: Program, child: Child) -> None:
        deaths: list[float] = []
        while True:
            code = await child.wait()
            deaths.append(time.monotonic())
            wait = restarts.next_delay(deaths, deaths[-1], _window(program)) if self._started else None
            words = processes.last_words(program.log)
            told = f"ended {_how(code)}" + (f": {words}" if words else "")
            if wait is None and self._started and not program.needed:
                self._tell(f"{program.name} {told}; it keeps dying and is left out, jobs go on; see {program.log}")
                return
            if wait is None or self._stopping:
                if not self.broken.done():
                    self.broken.set_result(errors.WorkerLost(program.name, told))
                return
            self._tell(f"{program.name} {told}; it is started again")
            await asyncio.sleep(wait)
            with contextlib.suppress(OSError):
                child = await processes.start(program)
                self._children[program.name] = child


def _window(program: Program) -> float:
    return restarts.WINDOW_S if program.needed else restarts.HELPERS_WINDOW_S


def _how(code: int) -> str:
    return f"by signal {-code}" if code < 0 else f"with exit code {code}"
