from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rise_scheduler.arms import canonical_arms
from rise_scheduler.context import vector
from rise_scheduler.learned import Learned
from rise_scheduler.placing import place_arms
from rise_scheduler.policies import FixedPolicy, LinUcbPolicy, edge_work
from rise_scheduler.posterior import ArmSums, Posterior, Settled
from tests.unit.scheduler.builders import decided, family, fleet, nothing_learned, question, worker

CHEAP, BALANCED = "large:3@1.5+finisher:6~q8", "large:6@1.2+finisher:6"


def taught(arm: str, reward: float, times: int = 20) -> Posterior:
    """A posterior that saw `reward` from `arm` in the default context."""
    x = vector(decided().decision.context)
    posterior = nothing_learned()
    for index in range(times):
        posterior = posterior.credited(f"{arm}{index}", Settled(0.5, True), arm, ArmSums.of(x, reward, None))
    return posterior


@pytest.mark.parametrize(("preference", "arm"), [(0.0, CHEAP), (0.4, CHEAP), (0.5, BALANCED), (1.0, BALANCED)])
def test_fixed_picks_along_the_relays_by_edge_work(preference: float, arm: str) -> None:
    assert decided(question(preference=preference), policy=FixedPolicy()).decision.arm == arm


def test_fixed_orders_by_work_and_not_by_listing() -> None:
    turned = family(relays=list(reversed([r.model_dump(by_alias=True) for r in family().spec.relays])))
    assert decided(question(preference=0.0), of=turned).decision.arm == CHEAP


def test_fixed_without_relays_takes_the_base_member_at_its_default_steps() -> None:
    record = decided(of=family(relays=[]), policy=FixedPolicy())
    assert record.decision.arm == "large:20"


def test_fixed_is_indifferent_to_what_was_learned() -> None:
    assert decided(learned=Learned(taught("small:10", 1.0)), policy=FixedPolicy()).decision.arm == BALANCED


def test_edge_work_counts_steps_by_size_on_the_edge_alone() -> None:
    candidates, _ = place_arms(canonical_arms(family()), question(), family(), fleet(), nothing_learned())
    found = {candidate.arm.name: edge_work(candidate, family())[0] for candidate in candidates}
    assert found[BALANCED] == 6 * 16_000_000
    assert found["small:20"] == 0


def test_linucb_takes_what_paid_and_leaves_what_did_not() -> None:
    greedy = LinUcbPolicy(alpha=0.0)
    assert decided(learned=Learned(taught("small:10", 0.9)), policy=greedy).decision.arm == "small:10"
    assert decided(learned=Learned(taught(BALANCED, -0.9)), policy=greedy).decision.arm != BALANCED


def test_linucb_explores_what_it_does_not_know() -> None:
    record = decided(learned=Learned(taught(BALANCED, 0.1, times=200)), policy=LinUcbPolicy(alpha=2.0))
    assert record.decision.arm == CHEAP


def test_linucb_ties_go_to_the_arm_listed_first_with_certainty() -> None:
    decision = decided(policy=LinUcbPolicy()).decision
    assert (decision.arm, decision.propensity) == (BALANCED, 1.0)


def test_linucb_logs_its_view_of_every_arm_that_can_run() -> None:
    record = decided(among=fleet(worker()), learned=Learned(taught("large:10", 0.3)), policy=LinUcbPolicy(alpha=0.5))
    for view in record.candidates:
        if view.masked:
            assert view.score is None
        else:
            assert view.mean is not None
            assert view.width is not None
            assert view.score == pytest.approx(view.mean + 0.5 * view.width)


def test_linucb_never_chooses_a_masked_arm() -> None:
    posterior = taught(BALANCED, 1.0)
    assert decided(among=fleet(worker()), learned=Learned(posterior), policy=LinUcbPolicy()).decision.arm.startswith(
        "large:"
    )
    assert "+" not in decided(among=fleet(worker()), learned=Learned(posterior), policy=LinUcbPolicy()).decision.arm


def test_a_scaled_arm_is_ranked_by_the_record_of_the_arm_it_comes_from() -> None:
    record = decided(question(steps=10), learned=Learned(taught(CHEAP, 0.9)), policy=LinUcbPolicy(alpha=0.0))
    assert record.decision.arm == "large:2@1.5+finisher:3~q8"


def test_drawn_choices_are_as_frequent_as_their_propensities() -> None:
    policy = LinUcbPolicy(alpha=0.0, epsilon=0.5, band=0.05)
    posterior = taught(BALANCED, 0.4)  # all others are worth 0, outside of the band
    near = taught(CHEAP, 0.38)
    posterior = Posterior(posterior.features, {**posterior.arms, **near.arms})
    counts: Counter[str] = Counter()
    propensities: dict[str, float] = {}
    jobs = 400
    for index in range(jobs):
        decision = decided(question(job_id=f"job-{index}"), learned=Learned(posterior), policy=policy).decision
        counts[decision.arm] += 1
        propensities[decision.arm] = decision.propensity
    assert set(counts) == {BALANCED, CHEAP}
    assert sum(propensities.values()) == pytest.approx(1.0)
    for arm, propensity in propensities.items():
        sd = float(np.sqrt(propensity * (1 - propensity) / jobs))
        assert abs(counts[arm] / jobs - propensity) < 5 * sd
