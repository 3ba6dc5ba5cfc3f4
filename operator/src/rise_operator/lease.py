"""Leadership: one replica at a time acts, the one whose name is in the Lease.

As in client-go's `leaderelection`: whoever holds the Lease renews it; whoever sees it unchanged for its whole duration,
by its own clock, takes it. The clocks of two machines are never compared. The `kubernetes` package has an election too,
but it reads the wall clock (which jumps), sets no limit to a request (so that a silent API server makes two leaders)
and gives nothing back at the end.

A leader that was frozen and wakes up does not know that it is none any more. Therefore `held` looks at the clock: it is
true only for as long as nobody else can have taken the Lease, and everything that acts asks it first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from rise_contracts.errors import RiseError
from rise_operator.api import LEASES, Api, ApiError, Object

log = logging.getLogger(__name__)

LABELS = {"app.kubernetes.io/name": "rise-operator"}
WATCHES = "rise-relay.io/watch-namespaces"
RENEW_SHARE = 1 / 6
"""Of the duration: how often the leader renews, and the others look."""
HELD_SHARE = 2 / 3
"""Of the duration: how long after its last renewal a leader still takes itself for one. The rest is for requests that
are on their way when it stops."""


class NotLeader(RiseError):
    """Somebody else may be the leader by now: nothing may be changed."""

    retriable = True

    def __init__(self, identity: str) -> None:
        self.identity = identity
        super().__init__(f"{identity} is not the leader (any more): nothing is changed")


@dataclass(frozen=True, slots=True)
class Sight:
    """The Lease as it was seen, and when that was first so (own monotonic clock)."""

    spec: dict[str, Any]
    since: float


def may_take(sight: Sight, identity: str, lease_s: float, now: float) -> bool:
    """Whether the Lease is ours, nobody's, or of somebody who has been silent for too long."""
    holder = sight.spec.get("holderIdentity") or ""
    if holder in ("", identity):
        return True
    return now - sight.since > float(sight.spec.get("leaseDurationSeconds") or lease_s)


class Election:
    """One candidate. `run` ends when leadership is lost, or when cancelled. `clock` must never go back."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        lease_s: float,
        cares_for: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._annotations = {WATCHES: ",".join(cares_for)}
        self._api, self._namespace, self._name = api, namespace, name
        self.identity, self._lease_s, self._clock = identity, lease_s, clock
        self._sight: Sight | None = None
        self._renewed_at = float("-inf")
        self.won = asyncio.Event()
        self.uid = ""
        """Of the Lease: it tells this installation from every other."""
        self.renewals = 0

    @property
    def held(self) -> bool:
        """Whether this replica is the leader, beyond doubt."""
        return self._clock() - self._renewed_at < self._lease_s * HELD_SHARE

    def lost(self) -> NoReturn:
        """Raise NotLeader."""
        raise NotLeader(self.identity)

    def check(self) -> None:
        """Raise NotLeader unless `held`."""
        if not self.held:
            self.lost()

    async def run(self) -> None:
        """Wait for leadership, then keep it; return when it is lost."""
        pause = self._lease_s * RENEW_SHARE
        while True:
            began = self._clock()
            try:
                async with asyncio.timeout(pause * 2):
                    await self._try(began)
            except (ApiError, TimeoutError) as error:
                log.warning("the lease %s/%s could not be renewed: %s", self._namespace, self._name, error)
            if self.won.is_set() and not self.held:
                return
            await asyncio.sleep(max(0.0, pause - (self._clock() - began)))

    async def release(self) -> None:
        """Give leadership back, so that nobody has to wait for the Lease to run out."""
        if not self.held or self._sight is None:
            return
        self._renewed_at = float("-inf")
        try:
            async with asyncio.timeout(2.0):
                there = await self._api.get(LEASES, self._namespace, self._name)
                if there is not None and there["spec"].get("holderIdentity") == self.identity:
                    there["spec"]["holderIdentity"] = ""
                    await self._api.replace(LEASES, self._namespace, self._name, there)
        except (ApiError, TimeoutError) as error:
            log.info("the lease could not be given back: %s", error)

    async def _try(self, began: float) -> None:
        """Create, renew or take the Lease, if it may be. `began` counts as the time of renewal: the answer may have
        been long on its way."""
        there = await self._api.get(LEASES, self._namespace, self._name)
        if there is None:
            body = {
                "metadata": {"name": self._name, "labels": LABELS, "annotations": self._annotations},
                "spec": self._spec(None),
            }
            self._took(await self._api.create(LEASES, self._namespace, body), began)
            return
        spec = there.get("spec") or {}
        if self._sight is None or self._sight.spec != spec:
            self._sight = Sight(spec, self._clock())
        if may_take(self._sight, self.identity, self._lease_s, self._clock()):
            # The revision it was read at goes along: of two that try, one is refused.
            there["spec"] = self._spec(spec)
            for part, own in (("labels", LABELS), ("annotations", self._annotations)):
                there["metadata"][part] = {**(there["metadata"].get(part) or {}), **own}
            self._took(await self._api.replace(LEASES, self._namespace, self._name, there), began)

    def _took(self, lease: Object, began: float) -> None:
        self._sight = Sight(lease["spec"], self._clock())
        self.uid = lease["metadata"]["uid"]
        self._renewed_at = began
        self.renewals += 1
        if not self.won.is_set():
            log.info("%s leads (lease %s/%s)", self.identity, self._namespace, self._name)
            self.won.set()

    def _spec(self, old: dict[str, Any] | None) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        mine = old is not None and old.get("holderIdentity") == self.identity
        transitions = int((old or {}).get("leaseTransitions") or 0)
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._lease_s)),
            "acquireTime": old["acquireTime"] if mine and old is not None and "acquireTime" in old else now,
            "renewTime": now,
            "leaseTransitions": transitions if mine or old is None else transitions + 1,
        }
