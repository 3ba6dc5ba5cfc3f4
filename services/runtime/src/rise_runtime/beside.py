"""A process beside the platform: connected as long as it works, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine

from rise_contracts import errors
from rise_contracts.rights import Principal, Role
from rise_runtime import access, layout, telemetry
from rise_runtime import bus as buses
from rise_runtime.bus import Bus
from rise_runtime.signals import stop_on_signals
from rise_runtime.together import together

Work = Callable[[Bus], Coroutine[None, None, None]]


def main(name: Role, work: Work) -> int:
    """Do `work`, which goes on until it is cancelled, on the bus that the environment names; the exit code."""
    try:
        telemetry.configure_logging()
        asyncio.run(_serve(name, work))
    except errors.RiseError as error:
        sys.stderr.write(f"rise {name}: {error}\n")
        return error.exit_code
    return 0


async def _serve(name: Role, work: Work) -> None:
    stop = stop_on_signals()
    url, known_by = os.environ.get(access.URL, "nats://127.0.0.1:4222"), access.from_environment(os.environ)
    async with buses.connect(url, known_by, name=f"rise-{name}", inbox=Principal(name).inbox, patience=10.0) as bus:
        await layout.ensure(bus)
        await together(work(bus), stop.wait())
