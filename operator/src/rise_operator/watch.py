"""kopf, on a thread and a loop of its own.

On ours it would take over the signals, and at its end wait for every task that it did not start, and cancel it: the
Lease would not be given back. What it hears comes over one event at a time, in its order.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, cast

import kopf

from rise_contracts.errors import RiseError
from rise_operator.api import Api, Object, in_pod
from rise_operator.aside import Aside
from rise_operator.handlers import kopf_settings, register
from rise_operator.liveness import Liveness
from rise_operator.settings import Settings
from rise_operator.world import World

LEAVE_S = 2.0


class WatchEnded(RiseError):
    """kopf gave up."""

    retriable = True

    def __init__(self, why: str) -> None:
        super().__init__(f"the watch of the API server ended: {why}")


async def watch(api: Api, settings: Settings, world: World, liveness: Liveness) -> None:
    """Have `world` see every change until cancelled. Raises WatchEnded."""
    loop, stop = asyncio.get_running_loop(), threading.Event()

    def hand(see: Callable[[Object], None], body: Object) -> None:
        loop.call_soon_threadsafe(see, body)

    spaces = settings.watch_namespaces
    liveness.watched = not spaces or settings.namespace in spaces
    liveness.start()
    ended = Aside("watch", lambda: _operate(api, settings, world, liveness, hand, stop)).ended
    try:
        await asyncio.wait({ended})
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait({ended}, timeout=LEAVE_S)
        raise
    failure = ended.exception()
    raise WatchEnded(str(failure) if failure else "without a word") from failure


async def _operate(
    api: Api,
    settings: Settings,
    world: World,
    liveness: Liveness,
    hand: Callable[[Callable[[Object], None], Object], None],
    stop: threading.Event,
) -> None:
    registry = kopf.OperatorRegistry()
    register(registry, world, liveness, hand)

    @kopf.on.login(registry=registry)
    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        if not settings.kubeconfig and in_pod():
            return kopf.login_with_service_account(**kwargs)  # reads the token anew, for it does not last
        return api.connection()

    logging.getLogger("kopf").setLevel(logging.WARNING)  # it has a line for every event of every object
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # that signals are not its business
    await kopf.operator(
        registry=registry,
        settings=kopf_settings(settings),
        standalone=True,
        # Else kopf makes one of the user's name, and the user of the image is a number alone.
        identity=cast("Any", settings.identity),
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
        stop_flag=stop,
    )
