"""The process: settings, connection, signals. Ends with 0 on SIGTERM or SIGINT, and with an error's exit code on one
line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rise_contracts import manifest
from rise_contracts.errors import InvalidInput, RiseError
from rise_contracts.resources import ModelFamily
from rise_runtime import layout, telemetry
from rise_runtime.bus import connect
from rise_runtime.signals import stop_on_signals
from rise_scheduler import settings as settings_module
from rise_scheduler.arms import canonical_arms
from rise_scheduler.service import Scheduler
from rise_scheduler.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; the exit code."""
    try:
        telemetry.configure_logging()
        chosen = settings_module.read(sys.argv[1:] if arguments is None else arguments, os.environ)
        families = [_read_family(path) for path in chosen.families]
        asyncio.run(run(chosen, families))
    except RiseError as error:
        sys.stderr.write(f"rise_scheduler: {error}\n")
        return error.exit_code
    return 0


async def run(chosen: Settings, families: Sequence[ModelFamily]) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = stop_on_signals()
    ready = asyncio.Event()
    async with (
        telemetry.served_health(telemetry.health_address(), lambda: ready.is_set() and not stop.is_set()),
        connect(chosen.nats_url, chosen.token, name="rise-scheduler", patience=chosen.patience) as bus,
    ):
        await layout.ensure(bus)
        scheduler = Scheduler(bus, chosen.make_policy(), default_reference_s=chosen.reference_seconds)
        for family in families:
            await scheduler.families.publish(family)
        await scheduler.start()
        ready.set()
        failing = asyncio.create_task(scheduler.wait())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({failing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if failing.done():
                failing.result()
        finally:
            failing.cancel()
            stopping.cancel()
            await scheduler.stop()


def _read_family(path: Path) -> ModelFamily:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("--family", "a ModelFamily manifest that can be read", str(path), str(error)) from error
    family = manifest.load_family(text, str(path))
    canonical_arms(family)  # a relay that a member cannot take part in is refused now, not at the first job
    return family
