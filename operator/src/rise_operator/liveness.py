"""Whether the operator does what it is there for: a round trip through its watch, not only a loop that turns.

The leader renews its Lease every few seconds, and the same watch that brings it the jobs brings it these renewals. When
they stop coming while the renewals succeed, the watch is dead, however well everything else looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rise_operator.api import Object
from rise_operator.lease import Election

SILENCE_S = 60.0


class Liveness:
    def __init__(
        self,
        election: Election,
        namespace: str,
        *,
        silence_s: float = SILENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._election, self._namespace, self._silence_s, self._clock = election, namespace, silence_s, clock
        self._seen_at: float | None = None
        self._watching_since: float | None = None
        self.watched = True
        """Whether renewals can be seen at all: the watch may be of other namespaces."""

    def start(self) -> None:
        """The watch begins now."""
        self._watching_since = self._clock()

    def see_lease(self, body: Object) -> None:
        meta = body["metadata"]
        if meta.get("namespace") == self._namespace and body["spec"].get("holderIdentity") == self._election.identity:
            self._seen_at = self._clock()

    def problem(self) -> str:
        """What is wrong; empty where nothing is. A standby watches nothing, and is well."""
        if not self.watched or self._watching_since is None or not self._election.held:
            return ""
        silent = self._clock() - max(self._seen_at or 0.0, self._watching_since)
        if silent < self._silence_s:
            return ""
        return f"the watch has not brought a renewal of the lease for {silent:.0f} s, though they succeed"
