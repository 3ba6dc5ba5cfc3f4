"""The product's own policies as players: LinUCB as in the paper, and the composed policy.

What is called is the product's code: the policies choose from the product's question, outcomes are added by the
product's sums. Only the bus and the messages are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.scheduling.seam import Asked, Chosen, Desk, News
from benchmarks.scheduling.world import Prior
from rise_contracts.decisions import Basis
from rise_contracts.resources import ModelFamily
from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.composed.features import design_for
from rise_scheduler.composed.knowledge import Knowledge, Learning, Observation, learned
from rise_scheduler.composed.observe import basis_of
from rise_scheduler.composed.policy import ComposedPolicy, Scores
from rise_scheduler.composed.price import Pacer, edge_wait
from rise_scheduler.context import FEATURES
from rise_scheduler.learned import Learned
from rise_scheduler.placing import Candidate
from rise_scheduler.policies import LinUcbPolicy, Question
from rise_scheduler.posterior import ArmSums, Array, Posterior, Settled
from rise_scheduler.quality import prior_quality
from rise_scheduler.reward import reward


class PaperLinUcb:
    """Disjoint LinUCB on a scalar reward, in the paper's context."""

    def __init__(self, desk: Desk, policy: LinUcbPolicy) -> None:
        self._desk, self._policy = desk, policy
        self._posterior = Posterior(FEATURES)
        self._prior = [prior_quality(arm, desk.family) for arm in desk.arms]

    @property
    def policy(self) -> LinUcbPolicy:
        return self._policy

    @property
    def posterior(self) -> Posterior:
        """What it has learned."""
        return self._posterior

    def choose(self, asked: Asked) -> Chosen:
        choice = self._policy.choose(replace(asked.question, learned=Learned(self._posterior)))
        return Chosen(choice.index, choice.propensity)

    def learn(self, news: News) -> None:
        """As the product settles an outcome: at once with the quality expected, and corrected once it is judged."""
        question, arm = news.asked.question, self._desk.arms[news.arm]
        known = self._posterior.settled.get(news.asked.id)
        if news.first:
            sums = self._posterior.arm(arm.name)
            quality = (sums.quality_sum + self._prior[news.arm]) / (sums.quality_n + 1)
            value = reward(quality, news.latency_s, preference=question.preference, reference_s=self._desk.reference_s)
            settled, added = Settled(quality, False), ArmSums.of(question.x, value, None)
        elif known is not None and news.quality is not None:
            change = question.preference * (news.quality - known.quality)
            settled, added = Settled(news.quality, True), ArmSums.correction(question.x, change, news.quality)
        else:  # judged later than the product remembers
            return
        self._posterior = self._posterior.credited(news.asked.id, settled, arm.name, added)


@dataclass(frozen=True, slots=True, eq=False)
class _Decided:
    basis: Basis
    candidate: Candidate


class Composed:
    """The default policy. Without ``priced`` the edge's time costs nothing."""

    def __init__(self, desk: Desk, policy: ComposedPolicy, *, priced: bool) -> None:
        self._desk, self._policy, self._priced = desk, policy, priced
        self._known, self._pacer = Knowledge(), Pacer()
        self._decided: dict[int, _Decided] = {}
        self.expected: Array | None = None
        """The utility that the last decision expected of each candidate, as the decision log has it."""

    @property
    def policy(self) -> ComposedPolicy:
        """With its prior."""
        return self._policy

    @property
    def known(self) -> Knowledge:
        """What it has learned."""
        return self._known

    def question(self, asked: Asked) -> Question:
        """The question with what was learned, at the price of the moment."""
        price, busy = (self._pacer.price, self._pacer.busy) if self._priced else (0.0, False)
        return replace(asked.question, learned=Learned(composed=self._known), price=price, busy=busy)

    def choose(self, asked: Asked) -> Chosen:
        self._pacer = self._pacer.after(edge_wait(asked.question.candidates, self._desk.reference_s))
        question = self.question(asked)
        choice = self._policy.choose(question)
        self.expected = choice.scores.mean if isinstance(choice.scores, Scores) else None
        candidate = question.candidates[choice.index]
        basis = basis_of(candidate, question.family, question.prompt, self._known, question.reference_s)
        self._decided[asked.job] = _Decided(basis, candidate)
        return Chosen(choice.index, choice.propensity)

    def learn(self, news: News) -> None:
        decided = self._decided[news.asked.job]
        basis, candidate = decided.basis, decided.candidate
        seen = Observation(
            decision_id=news.asked.id,
            clock=basis.clock,
            arm=candidate.arm.name,
            kind=candidate.arm.kind,
            members=tuple(part.member for part in candidate.arm.parts),
            pool=candidate.wait_key.removeprefix("wait/"),
            features=basis.features,
            base_quality=basis.quality,
            reference_s=basis.reference_s,
            keys=candidate.keys,
            predicted=basis.stage_seconds,
            waits=basis.waits,
            moves=basis.moves,
            latency_s=news.latency_s,
            seconds=news.stage_seconds,
            wait_s=news.wait_s,
            quality=news.quality,
        )
        self._known = learned(self._known, seen, self._policy.learning)
        if not news.first:
            del self._decided[news.asked.job]


def offline(family: ModelFamily, desk: Desk, prior: Prior) -> Ridge:
    """The sums of pictures scored before the run, as the product's prior takes them."""
    design = design_for(family)
    static, base = design.rows_of(list(desk.arms))
    x = np.concatenate([design.matrix(static, prompt) for prompt in prior.prompts])
    return Ridge.of(design.names, x, (prior.scores - base).ravel())


def composed(desk: Desk, prior: Prior | None, policy: ComposedPolicy, *, weight: float, priced: bool) -> Composed:
    """The composed policy with the world's prior, worth ``weight`` outcomes, or with none."""
    learning: Learning = policy.learning
    if prior is not None:
        sums = offline(desk.family, desk, prior)
        learning = replace(learning, prior=replace(learning.prior, offline=sums, weight=weight))
    return Composed(desk, replace(policy, learning=learning), priced=priced)
