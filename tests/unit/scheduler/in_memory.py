"""A scheduler without a bus: the real decisions and the real learning, over dictionaries."""

from __future__ import annotations

from dataclasses import dataclass, field

from rise_contracts.decisions import DecisionRecord
from rise_contracts.errors import UnknownName
from rise_contracts.messages import Configure, Decision, Outcome, UserAct
from rise_contracts.reports import FleetReport, PolicyReport
from rise_contracts.resources import ModelFamily
from rise_scheduler import reports
from rise_scheduler.composed.knowledge import Learning, learned
from rise_scheduler.composed.observe import observed
from rise_scheduler.decide import decide
from rise_scheduler.fleet import Fleet
from rise_scheduler.learn import Verdict, outcome_of_act, settle
from rise_scheduler.learned import Learned
from rise_scheduler.policies import LinUcbPolicy, Policy
from rise_scheduler.store import UnknownDecision
from tests.unit.scheduler import builders

AT = 2000.0


@dataclass
class InMemory:
    """Answers for one family at a time that stands still."""

    family: ModelFamily = field(default_factory=builders.family)
    fleet_now: Fleet = field(default_factory=builders.fleet)
    chooser: Policy = field(default_factory=LinUcbPolicy)
    learned: Learned = field(default_factory=Learned)
    log: dict[str, DecisionRecord] = field(default_factory=dict)

    async def configure(self, question: Configure) -> Decision:
        wanted, known = question.request.spec.family, self.family.metadata.name
        if wanted != known:
            raise UnknownName("family", wanted, [known], "spec.family")
        fleet = self.fleet_now.open_to(question.request)
        decision_id = f"d{len(self.log)}"
        record, _ = decide(question, self.family, fleet, self.learned, self.chooser, decision_id=decision_id, at=AT)
        self.log[decision_id] = record
        return record.decision

    async def learn(self, outcome: Outcome) -> Verdict:
        record = await self.decision(outcome.decision_id)
        posterior, verdict = settle(self.learned.posterior, record, outcome, default_reference_s=5.0)
        seen = observed(record, outcome)
        composed = self.learned.composed
        self.learned = Learned(posterior, composed if seen is None else learned(composed, seen, Learning()))
        self.log[outcome.decision_id] = record.model_copy(update={"outcome": record.outcome or outcome})
        return verdict

    async def act(self, said: UserAct) -> Verdict:
        return await self.learn(outcome_of_act(await self.decision(said.decision_id), said, AT))

    async def decision(self, decision_id: str) -> DecisionRecord:
        if decision_id not in self.log:
            raise UnknownDecision(decision_id)
        return self.log[decision_id]

    async def fleet(self) -> FleetReport:
        return reports.fleet_report(self.fleet_now, AT)

    async def policy(self) -> PolicyReport:
        standing = reports.Standing(self.chooser, self.fleet_now, AT)
        family = reports.family_report(self.family, self.learned, standing)
        return PolicyReport(at=AT, policy=self.chooser.name, families=(family,))
