"""The process: settings, connection, signals. Ends with 0 on SIGTERM or SIGINT, and with an error's exit code on one
line.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from rise_contracts import manifest
from rise_contracts.errors import InvalidInput, RiseError
from rise_contracts.resources import ModelFamily
from rise_contracts.rights import Principal
from rise_runtime import guard, layout, telemetry
from rise_runtime.bus import connect
from rise_runtime.signals import stop_on_signals
from rise_runtime.together import together
from rise_scheduler import settings as settings_module
from rise_scheduler.arms import canonical_arms
from rise_scheduler.composed import knowledge_npz
from rise_scheduler.composed.knowledge import Learning
from rise_scheduler.composed.prior import Prior
from rise_scheduler.service import Scheduler
from rise_scheduler.settings import Settings
from rise_scheduler.state import StateRefused

log = logging.getLogger(__name__)

ME = Principal("scheduler")
PRIOR = ".npz"
"""What the name of a family is followed by in that of its prior."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; the exit code."""
    try:
        telemetry.configure_logging()
        chosen = settings_module.read(sys.argv[1:] if arguments is None else arguments, os.environ)
        families = [_read_family(path) for path in chosen.families]
        asyncio.run(run(chosen, families, Learning(priors=read_priors(chosen))))
    except RiseError as error:
        sys.stderr.write(f"rise_scheduler: {error}\n")
        return error.exit_code
    return 0


async def run(chosen: Settings, families: Sequence[ModelFamily], learning: Learning) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = stop_on_signals()
    ready = asyncio.Event()
    health = telemetry.health_address()

    def takes_work() -> bool:
        return ready.is_set() and not stop.is_set()

    async with (
        telemetry.served_health(health, takes_work, guard=guard.read("RISE_METRICS")),
        connect(chosen.nats_url, chosen.access, name="rise-scheduler", inbox=ME.inbox, patience=chosen.patience) as bus,
    ):
        await layout.ensure(bus)
        policy, reference_s = chosen.make_policy(learning), chosen.reference_seconds
        scheduler = Scheduler(bus, policy, default_reference_s=reference_s, learning=learning)
        for family in families:
            await scheduler.families.publish(family)
        await scheduler.start()
        try:
            # Health has a port of its own, or it is served here; never twice.
            async with _served_http(chosen, scheduler, None if health else takes_work):
                gc.freeze()  # what is loaded by now stays: a collection need not go through all of it, in mid-decision
                ready.set()
                await together(scheduler.wait(), stop.wait())
        finally:
            await scheduler.stop()


@contextlib.asynccontextmanager
async def _served_http(chosen: Settings, scheduler: Scheduler, ready: Callable[[], bool] | None) -> AsyncIterator[None]:
    """HTTP, where it is wanted."""
    if chosen.http is None:
        yield
        return
    from rise_scheduler.http import routes, server

    app = routes.application(scheduler, guard=chosen.http_guard, ready=ready)
    async with server.served(app, chosen.http):
        yield


def read_priors(chosen: Settings) -> dict[str, Prior]:
    """What is known of the qualities of families before any outcome, by family. Raises InvalidInput."""
    files = {**(_priors_in(chosen.prior_folder) if chosen.prior_folder else {}), **chosen.priors}
    priors = {family: read_prior(path) for family, path in sorted(files.items())}
    for family, prior in priors.items():
        log.info("begins with the prior of %s, worth %g pictures", family, min(prior.offline.n, prior.weight))
    return priors


def _priors_in(folder: Path) -> dict[str, Path]:
    """The files of a folder by family. What a kubelet keeps there for itself begins with a dot."""
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InvalidInput("--priors", "a folder that can be read", str(folder), str(error)) from error
    for path in found:
        if path.suffix != PRIOR:
            raise InvalidInput("--priors", f"files called FAMILY{PRIOR}, and no others", str(path), "name it so")
    return {path.stem: path for path in found}


def read_prior(path: Path) -> Prior:
    """The sums of pictures judged elsewhere, as `composed.knowledge_npz` writes them. Raises InvalidInput."""
    try:
        return Prior(knowledge_npz.load(path.read_bytes()).quality)
    except (OSError, StateRefused) as error:
        raise InvalidInput("--prior", "a file of learned qualities that can be read", str(path), str(error)) from error


def _read_family(path: Path) -> ModelFamily:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput("--family", "a ModelFamily manifest that can be read", str(path), str(error)) from error
    family = manifest.load_family(text, str(path))
    canonical_arms(family)  # a relay that a member cannot take part in is refused now, not at the first job
    return family
