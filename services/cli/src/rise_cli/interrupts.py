"""Ctrl-C, SIGTERM and a closed terminal end a command the same way: by cancelling it, so that it cleans up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NAMES = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "a closed terminal"}


class Stopped(Exception):
    """A signal ended the command. `exit_code` is what shells expect of one."""

    def __init__(self, number: signal.Signals) -> None:
        self.exit_code, self.name = exit_code_of(number.name), _NAMES[number.name]
        super().__init__(self.name)


def exit_code_of(name: str) -> int:
    return 128 + signal.Signals[name].value


def run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, but every one of SIGNALS cancels the work once and is raised as Stopped when it is clean.

    More signals of the kind change nothing: cleaning up is short, and half of it would leave processes behind.
    """
    seen: list[signal.Signals] = []

    async def main() -> T:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()

        def stop(number: signal.Signals) -> None:
            if not seen:
                seen.append(number)
                task.cancel()

        for number in SIGNALS:
            loop.add_signal_handler(number, stop, number)
        return await task

    try:
        return asyncio.run(main())
    except BaseException:
        # What an interrupted command stumbles over on its way out is not what went wrong.
        if seen:
            raise Stopped(seen[0]) from None
        raise
