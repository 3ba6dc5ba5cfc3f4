"""The scheduler's memory on the bus: what was learned (``rise_scheduler``) and what was decided (``rise_decisions``).

Decisions are kept for some days; that is how late an outcome may come.
"""

from __future__ import annotations

from rise_contracts import codec, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.errors import RiseError
from rise_contracts.messages import Outcome
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.together import together
from rise_scheduler import posterior_json
from rise_scheduler.composed import knowledge_npz
from rise_scheduler.composed.knowledge import Knowledge, Learning, learned
from rise_scheduler.composed.observe import observed
from rise_scheduler.context import FEATURES
from rise_scheduler.kept import Kept
from rise_scheduler.learn import Verdict, settle, settlement_of
from rise_scheduler.learned import Learned
from rise_scheduler.posterior import Posterior


class UnknownDecision(RiseError):
    """An outcome of a decision that is not in the log: it was never made here, or its time is over."""

    exit_code = 3

    def __init__(self, decision_id: str) -> None:
        self.decision_id = decision_id
        super().__init__(f"decision {decision_id!r} is not in the log (unknown, or older than the log keeps)")


class Store:
    """The two buckets."""

    def __init__(self, bus: Bus, *, default_reference_s: float, learning: Learning | None = None) -> None:
        bucket = Bucket(bus, subjects.KV_SCHEDULER)
        self._decisions = Bucket(bus, subjects.KV_DECISIONS)
        self._default_reference_s = default_reference_s
        self._learning = learning or Learning()
        self._linucb: Kept[Posterior] = Kept(
            bucket,
            "linucb",
            empty=lambda: Posterior(FEATURES),
            load=lambda data: posterior_json.load(data, FEATURES),
            dump=posterior_json.dump,
        )
        self._composed: Kept[Knowledge] = Kept(
            bucket, "composed", empty=Knowledge, load=knowledge_npz.load, dump=knowledge_npz.dump
        )

    async def run(self) -> None:
        """Hear of what other replicas learn, until cancelled."""
        await together(self._linucb.run(), self._composed.run())

    async def learned(self, family: str) -> Learned:
        """All that is known of ``family``."""
        return Learned(await self._linucb.read(family), await self._composed.read(family))

    async def note(self, record: DecisionRecord) -> None:
        """Put a decision, or what came of it, into the log."""
        await self._decisions.put(record.decision.id, codec.encode(record))

    async def decision(self, decision_id: str) -> DecisionRecord:
        """The record of a decision. Raises UnknownDecision."""
        entry = await self._decisions.get(decision_id)
        if entry is None or entry.value is None:
            raise UnknownDecision(decision_id)
        return codec.decode(DecisionRecord, entry.value)

    async def learn(self, outcome: Outcome) -> tuple[Verdict, DecisionRecord]:
        """Add an outcome to what is known of its family, then mark its decision; what came of it, and the decision.

        Safe to repeat at any point: what was learned says itself which decisions it holds. Raises UnknownDecision, and
        StateRefused where the record is of a newer release; a damaged one is set aside and learning begins anew.
        """
        record = await self.decision(outcome.decision_id)
        verdict = Verdict.REPLAYED

        def add(before: Posterior) -> Posterior:
            nonlocal verdict
            after, verdict = settle(before, record, outcome, default_reference_s=self._default_reference_s)
            return after

        posterior = await self._linucb.change(record.family, add)
        seen = observed(record, outcome)
        if seen is not None:
            await self._composed.change(
                record.family, lambda before: learned(before, seen, self._learning.of(record.family))
            )
        # Whoever learned it before may have died, or lost the bus, before the log said so.
        unmarked = verdict is Verdict.REPLAYED and record.outcome is None
        if unmarked or verdict in (Verdict.LEARNED, Verdict.CORRECTED, Verdict.NOT_AN_ARM):
            settlement = settlement_of(posterior, record.decision.id) or record.settlement
            await self.note(record.model_copy(update={"outcome": outcome, "settlement": settlement}))
        return verdict, record
