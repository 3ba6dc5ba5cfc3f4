"""The process: settings, leadership, and then everything that a leader runs.

Ends with 0 on SIGTERM or SIGINT, with an error's exit code on one line, and with that of `NotLeader` when leadership is
lost: whoever started it starts it again, as a candidate.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial

from rise_contracts.errors import RiseError
from rise_operator import settings as settings_module
from rise_operator.api import Api, connected
from rise_operator.candidacy import Candidacy, candidacy
from rise_operator.leader import Leader
from rise_operator.liveness import Liveness
from rise_operator.settings import Settings
from rise_runtime import guard, telemetry
from rise_runtime.signals import stop_on_signals
from rise_runtime.together import together

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; the exit code."""
    try:
        telemetry.configure_logging()
        chosen = settings_module.read(sys.argv[1:] if arguments is None else arguments, os.environ)
        asyncio.run(run(chosen))
    except RiseError as error:
        sys.stderr.write(f"rise_operator: {error}\n")
        return error.exit_code
    return 0


async def run(chosen: Settings) -> None:
    """Stand by, lead, and end on SIGTERM or SIGINT. Raises NotLeader when leadership is lost."""
    stop = stop_on_signals()
    connect = partial(connected, chosen.kubeconfig, chosen.context)
    async with connect() as api, candidacy(chosen, connect) as candidate:
        log.info(
            "%s is a candidate for the lease %s/%s at %s", chosen.identity, chosen.namespace, chosen.lease, api.host
        )
        liveness = Liveness(candidate.election, chosen.namespace)
        address, keeper = telemetry.health_address(), guard.read("RISE_METRICS")
        async with telemetry.served_health(address, lambda: not stop.is_set(), liveness.problem, keeper):
            await _campaign(chosen, api, candidate, liveness, stop)


async def _campaign(chosen: Settings, api: Api, candidate: Candidacy, liveness: Liveness, stop: asyncio.Event) -> None:
    async def until_stopped() -> None:
        await stop.wait()

    async def until_lost() -> None:
        await asyncio.shield(candidate.ended)

    async def lead() -> None:
        await candidate.won.wait()
        await Leader(chosen, api, candidate.election, liveness).run()

    await together(until_stopped(), until_lost(), lead())
    if not stop.is_set():
        candidate.election.lost()
