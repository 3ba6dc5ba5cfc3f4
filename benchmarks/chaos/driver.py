"""The job driver as a process of its own, to be struck like the others: ``python -m benchmarks.chaos.driver``.

`rise up` runs the same in its supervisor's process. URL and token are in RISE_NATS_URL and RISE_NATS_TOKEN.
"""

from __future__ import annotations

import asyncio
import os

from rise_runtime import telemetry
from rise_runtime.bus import connect
from rise_runtime.driver import run_driver
from rise_runtime.signals import stop_on_signals


async def main() -> None:
    """Drive until SIGTERM."""
    stop = stop_on_signals()
    token = os.environ.get("RISE_NATS_TOKEN")
    async with connect(os.environ["RISE_NATS_URL"], token, name="rise-driver", patience=30.0) as bus:
        await run_driver(bus, stop=stop)


if __name__ == "__main__":
    telemetry.configure_logging()
    asyncio.run(main())
