"""A tap on the wire between one process and the API server: the other seam of the fault matrix.

As with the bus, a request names the moment of a fault. It alone is held: what else the process asks goes on, so that a
leader keeps its lease until it is struck.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.kube.api_proxy import ApiProxy, Dropped

_ASKED_AT = web.RequestKey("asked_at", float)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that changes something. `body` is empty where it has none."""

    method: str
    path: str
    body: dict[str, Any]


Match = Callable[[Asked], bool]


class ApiHold:
    """Waits for one request, and holds it. `met` is set once it is held."""

    def __init__(self, match: Match) -> None:
        self._match, self._free = match, asyncio.Event()
        self.met, self.dropped = asyncio.Event(), False

    def takes(self, asked: Asked) -> bool:
        """Whether this is the request that was waited for: the first that matches, while it is waited for."""
        return not self.met.is_set() and not self._free.is_set() and self._match(asked)

    async def keep(self) -> None:
        """Hold the request. Raises Dropped where it is to be thrown away."""
        self.met.set()
        await self._free.wait()
        if self.dropped:
            raise Dropped

    def let_go(self) -> None:
        """Pass it on, also where whoever asked is dead by now; or wait for nothing any more."""
        self._free.set()

    def drop(self) -> None:
        """It never reached the server."""
        self.dropped = True
        self._free.set()


class ApiTap(ApiProxy):
    """`changed` is what the server took of what this process wrote, its leases and events apart: when it was asked, by
    this process's steady clock, and what."""

    def __init__(self, kubeconfig: Path, name: str) -> None:
        super().__init__(kubeconfig, name)
        self.changed: list[tuple[float, Asked]] = []
        self._holds: list[ApiHold] = []

    def hold(self, match: Match) -> ApiHold:
        """Hold the next request that matches."""
        hold = ApiHold(match)
        self._holds.append(hold)
        return hold

    async def admit(self, request: web.Request, body: bytes) -> None:
        asked = asked_of(request.method, request.path, body)
        request[_ASKED_AT] = time.monotonic()
        hold = next((hold for hold in self._holds if asked is not None and hold.takes(asked)), None)
        if hold is not None:
            try:
                await hold.keep()
            finally:
                self._holds.remove(hold)

    async def answered(self, request: web.Request, body: bytes, status: int) -> None:
        asked = asked_of(request.method, request.path, body)
        if asked is not None and status < 400:
            self.changed.append((request[_ASKED_AT], asked))


def asked_of(method: str, path: str, body: bytes) -> Asked | None:
    """The request, if it changes what others go by: leases and events are a process's own affair."""
    if method == "GET" or path.rsplit("/", 1)[-1] == "events" or "/leases" in path:
        return None
    try:
        read = json.loads(body) if body else {}
    except ValueError:
        read = {}  # a patch in YAML: nothing is held for what it says
    return Asked(method, path, read if isinstance(read, dict) else {})


def writes_status(job: str, condition: str) -> Match:
    """A status of this RelayJob in which the condition is true."""

    def matches(asked: Asked) -> bool:
        conditions = (asked.body.get("status") or {}).get("conditions") or ()
        told = {each["type"] for each in conditions if each["status"] == "True"}
        return asked.method == "PATCH" and asked.path.endswith(f"/relayjobs/{job}/status") and condition in told

    return matches


def makes_pod(job: str) -> Match:
    """The making of a pod for this RelayJob alone."""

    def matches(asked: Asked) -> bool:
        name = (asked.body.get("metadata") or {}).get("name") or ""
        return asked.method == "POST" and asked.path.endswith("/pods") and name.startswith(f"{job}-")

    return matches
