"""The scheduler's memory on the bus: what was learned (``rise_scheduler``) and what was decided (``rise_decisions``).

What was learned is changed by compare-and-swap only: read, add, write if nobody else wrote, else begin again. Sums
commute, so replicas and restarts lose nothing. Decisions are kept for some days; that is how late an outcome may
come.
"""

from __future__ import annotations

import logging

from rise_contracts import codec, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.errors import RiseError
from rise_contracts.messages import Outcome
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.streams import WrongRevision
from rise_scheduler import posterior_json
from rise_scheduler.context import FEATURES
from rise_scheduler.learn import Verdict, settle, settlement_of
from rise_scheduler.posterior import Posterior
from rise_scheduler.posterior_json import StateRefused

log = logging.getLogger(__name__)


class UnknownDecision(RiseError):
    """An outcome of a decision that is not in the log: it was never made here, or its time is over."""

    exit_code = 3

    def __init__(self, decision_id: str) -> None:
        self.decision_id = decision_id
        super().__init__(f"decision {decision_id!r} is not in the log (unknown, or older than the log keeps)")


class Store:
    """The two buckets. Every call asks them, so any number of processes may have one; the same bytes are only not
    parsed again."""

    def __init__(self, bus: Bus, *, default_reference_s: float) -> None:
        self._learned = Bucket(bus, subjects.KV_SCHEDULER)
        self._decisions = Bucket(bus, subjects.KV_DECISIONS)
        self._default_reference_s = default_reference_s
        self._parsed: dict[str, tuple[bytes, Posterior]] = {}

    async def posterior(self, family: str) -> Posterior:
        """What is known of ``family``; nothing where the record cannot be read (decisions go on without it)."""
        try:
            return (await self._read(family))[0]
        except StateRefused as error:
            log.warning("deciding without what was learned of %s: %s", family, error)
            return Posterior(FEATURES)

    async def note(self, record: DecisionRecord) -> None:
        """Put a decision, or what came of it, into the log."""
        await self._decisions.put(record.decision.id, codec.encode(record))

    async def decision(self, decision_id: str) -> DecisionRecord:
        """The record of a decision. Raises UnknownDecision."""
        entry = await self._decisions.get(decision_id)
        if entry is None or entry.value is None:
            raise UnknownDecision(decision_id)
        return codec.decode(DecisionRecord, entry.value)

    async def learn(self, outcome: Outcome) -> Verdict:
        """Add an outcome to what is known of its family, then mark its decision.

        Safe to repeat at any point: the posterior itself says which decisions it holds. Raises UnknownDecision, and
        StateRefused where the record is of a newer release; a damaged one is set aside and learning begins anew.
        """
        record = await self.decision(outcome.decision_id)
        verdict, record = await self._add(record, outcome)
        if verdict in (Verdict.LEARNED, Verdict.CORRECTED, Verdict.NOT_AN_ARM):
            await self.note(record)
        return verdict

    async def _add(self, record: DecisionRecord, outcome: Outcome) -> tuple[Verdict, DecisionRecord]:
        while True:
            before, revision = await self._read_or_set_aside(record.family)
            after, verdict = settle(before, record, outcome, default_reference_s=self._default_reference_s)
            settlement = settlement_of(after, record.decision.id) or record.settlement
            marked = record.model_copy(update={"outcome": outcome, "settlement": settlement})
            if after is before:
                return verdict, marked
            try:
                written = posterior_json.dump(after)
                await self._learned.update(_key(record.family), written, revision)
            except WrongRevision:
                continue  # another replica was first: add to what it wrote
            self._parsed[record.family] = written, after
            return verdict, marked

    async def _read(self, family: str) -> tuple[Posterior, int]:
        entry = await self._learned.get(_key(family))
        if entry is None or entry.value is None:
            return Posterior(FEATURES), 0
        parsed = self._parsed.get(family)
        if parsed is None or parsed[0] != entry.value:
            parsed = self._parsed[family] = entry.value, posterior_json.load(entry.value, FEATURES)
        return parsed[1], entry.revision

    async def _read_or_set_aside(self, family: str) -> tuple[Posterior, int]:
        try:
            return await self._read(family)
        except StateRefused as error:
            if error.newer:
                raise
            log.error("%s; it is set aside and learning of %s begins anew", error, family)
        entry = await self._learned.get(_key(family))
        if entry is None or entry.value is None:
            return Posterior(FEATURES), 0
        await self._learned.put(f"damaged.{family}.{entry.revision}", entry.value)
        return Posterior(FEATURES), entry.revision


def _key(family: str) -> str:
    return f"linucb.{family}"
