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

from rise_contracts.errors import RiseError
from rise_operator import settings as settings_module
from rise_operator.api import Api, connected
from rise_operator.leader import Leader
from rise_operator.lease import Election
from rise_operator.liveness import Liveness
from rise_operator.settings import Settings
from rise_runtime import telemetry
from rise_runtime.signals import stop_on_signals

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
    async with connected(chosen.kubeconfig, chosen.context) as api:
        election = Election(
            api, chosen.namespace, chosen.lease, chosen.identity, chosen.lease_s, chosen.watch_namespaces
        )
        liveness = Liveness(election, chosen.namespace)
        health = telemetry.served_health(telemetry.health_address(), lambda: not stop.is_set(), liveness.problem)
        async with health:
            await _campaign(chosen, api, election, liveness, stop)


async def _campaign(chosen: Settings, api: Api, election: Election, liveness: Liveness, stop: asyncio.Event) -> None:
    electing = asyncio.ensure_future(election.run())
    stopping = asyncio.ensure_future(stop.wait())
    winning = asyncio.ensure_future(election.won.wait())
    try:
        log.info(
            "%s is a candidate for the lease %s/%s at %s", election.identity, chosen.namespace, chosen.lease, api.host
        )
        await asyncio.wait({electing, stopping, winning}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            return
        leading = asyncio.ensure_future(Leader(chosen, api, election, liveness).run())
        try:
            await asyncio.wait({electing, stopping, leading}, return_when=asyncio.FIRST_COMPLETED)
            if leading.done():
                leading.result()
            if electing.done() and not stop.is_set():
                electing.result()
                election.lost()
        finally:
            leading.cancel()
            await asyncio.gather(leading, return_exceptions=True)
    finally:
        for task in (electing, stopping, winning):
            task.cancel()
        await asyncio.gather(electing, stopping, winning, return_exceptions=True)
        await election.release()
