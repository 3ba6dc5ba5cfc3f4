"""A process beside the platform: connected as long as it works, until SIGTERM or SIGINT.

It is not of the platform, and makes nothing there: where roles have keys, it may not. It waits for those who may.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Final, Literal

from rise_contracts import errors, subjects
from rise_contracts.rights import Principal
from rise_runtime import access, guard, layout, telemetry
from rise_runtime import bus as buses
from rise_runtime.bus import Bus
from rise_runtime.signals import stop_on_signals
from rise_runtime.together import together

log = logging.getLogger(__name__)

Work = Callable[[Bus], Coroutine[None, None, None]]
Name = Literal["judge", "auditor"]

_LAST: Final[Mapping[Name, str]] = {"judge": subjects.KV_FAMILIES, "auditor": subjects.KV_AUDITS}
"""The last bucket that `layout.ensure` makes of those that one of this role may read."""


def main(name: Name, work: Work) -> int:
    """Do `work`, which goes on until it is cancelled, on the bus that the environment names; the exit code."""
    try:
        telemetry.configure_logging()
        asyncio.run(_serve(name, work))
    except errors.RiseError as error:
        sys.stderr.write(f"rise {name}: {error}\n")
        return error.exit_code
    return 0


async def _serve(name: Name, work: Work) -> None:
    stop, working = stop_on_signals(), asyncio.Event()

    def takes_work() -> bool:
        return working.is_set() and not stop.is_set()

    async def begin(bus: Bus) -> None:
        log.info("waiting for the platform to be made")
        await layout.until_made(bus, _LAST[name])
        working.set()
        await work(bus)

    url, known_by = os.environ.get(access.URL, "nats://127.0.0.1:4222"), access.from_environment(os.environ)
    patience, inbox = _patience(os.environ.get("RISE_PATIENCE") or "10"), Principal(name).inbox
    async with (
        telemetry.served_health(telemetry.health_address(), takes_work, guard=guard.read("RISE_METRICS")),
        buses.connect(url, known_by, name=f"rise-{name}", inbox=inbox, patience=patience) as bus,
    ):
        await together(begin(bus), stop.wait())


def _patience(text: str) -> float:
    """Seconds to wait for NATS."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= 3600.0:
        raise errors.InvalidInput("RISE_PATIENCE", "seconds, 0 to 3600", text)
    return seconds
