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
are on their way when it stops. It is also how long an answer is waited for: a later one would be of no use."""
LATE_SHARE = 1 / 3
"""Of the duration: how long after its last renewal a leader that goes without one says so."""


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
    return now > runs_out(sight, lease_s)


def runs_out(sight: Sight, lease_s: float) -> float:
    """When a Lease that is not renewed may be taken, by whom it is seen so."""
    return sight.since + float(sight.spec.get("leaseDurationSeconds") or lease_s)


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
        on_won: Callable[[], object] = lambda: None,
    ) -> None:
        self._annotations = {WATCHES: ",".join(cares_for)}
        self._api, self._namespace, self._name = api, namespace, name
        self.identity, self._lease_s, self._clock, self._on_won = identity, lease_s, clock, on_won
        self._lease: Object | None = None
        """As this replica wrote it last."""
        self._sight: Sight | None = None
        self._renewed_at = float("-inf")
        self._trouble, self._told = "", ""
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
        """Wait for leadership, then keep it; return when it is lost.

        A look is begun every so often, whether or not the one before it was answered: an answer that comes late still
        counts, and a connection that is dead holds nothing up.
        """
        looks: set[asyncio.Task[None]] = set()
        try:
            while True:
                began = self._clock()
                looks.add(asyncio.ensure_future(self._look(began)))
                await asyncio.wait(looks, timeout=self._lease_s * RENEW_SHARE, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(self._pause(began))
                for look in [look for look in looks if look.done()]:
                    looks.discard(look)
                    look.result()
                self._complain()
                if self.won.is_set() and not self.held:
                    # Where this process or the API server stood still, it may not be anybody else's yet.
                    await self._look(self._clock())
                    if not self.held:
                        return
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

    def _pause(self, began: float) -> float:
        """Seconds until the next look: as usual after the last one, or earlier where another's Lease runs out."""
        now, due = self._clock(), began + self._lease_s * RENEW_SHARE
        if not self.won.is_set() and self._sight is not None:
            out = runs_out(self._sight, self._lease_s)
            due = min(due, out) if out > now else due
        return max(0.0, due - now)

    async def _look(self, began: float) -> None:
        try:
            async with asyncio.timeout(self._lease_s * HELD_SHARE):
                await self._try(began)
        except TimeoutError:
            self._trouble = f"no answer within {self._lease_s * HELD_SHARE:.3g} s"
        except ApiError as error:
            if error.status != 409:  # somebody was faster, or a look of our own was
                self._trouble = str(error)

    def _complain(self) -> None:
        """Say once what keeps this replica from the Lease, and once that it does no more."""
        silent, leads = self._clock() - self._renewed_at, self.won.is_set()
        trouble = self._trouble
        if leads:
            trouble = trouble or "no answer" if silent > self._lease_s * LATE_SHARE else ""
        if trouble == self._told or (leads and trouble and self._told):
            return
        lease = f"the lease {self._namespace}/{self._name}"
        if trouble and leads:
            log.warning("%s was not renewed for %.1f s: %s", lease, silent, trouble)
        elif trouble:
            log.warning("%s cannot be looked at: %s", lease, trouble)
        else:
            log.info("%s answers again", lease)
        self._told = trouble

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
        if self.held and self._lease is not None:
            try:
                await self._write(self._lease, began)
            except ApiError as error:
                if error.status not in (404, 409):
                    raise
            else:
                return
        there = await self._api.get(LEASES, self._namespace, self._name)
        self._trouble = ""
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
            await self._write(there, began)

    async def _write(self, there: Object, began: float) -> None:
        """Renew or take the Lease as it was read. Its revision goes along: of two that try, one is refused."""
        metadata = dict(there["metadata"])
        for part, own in (("labels", LABELS), ("annotations", self._annotations)):
            metadata[part] = {**(metadata.get(part) or {}), **own}
        body = {**there, "metadata": metadata, "spec": self._spec(there.get("spec") or {})}
        self._took(await self._api.replace(LEASES, self._namespace, self._name, body), began)

    def _took(self, lease: Object, began: float) -> None:
        self._lease, self._sight, self._trouble = lease, Sight(lease["spec"], self._clock()), ""
        self.uid = lease["metadata"]["uid"]
        self._renewed_at = max(self._renewed_at, began)
        self.renewals += 1
        if not self.won.is_set():
            log.info("%s leads (lease %s/%s)", self.identity, self._namespace, self._name)
            self.won.set()
            self._on_won()

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
