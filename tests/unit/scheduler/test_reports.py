"""What the scheduler says of its fleet and of its policy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rise_contracts.reports import FamilyReport
from rise_contracts.resources import ModelFamily
from rise_scheduler import reports
from rise_scheduler.composed.knowledge import Learning, learned
from rise_scheduler.composed.observe import observed
from rise_scheduler.composed.policy import ComposedPolicy
from rise_scheduler.composed.price import Pacer
from rise_scheduler.fleet import Fleet
from rise_scheduler.learn import settle
from rise_scheduler.learned import Learned
from rise_scheduler.policies import FixedPolicy, LinUcbPolicy, Policy
from tests.unit.scheduler.builders import decided, family, fleet, nothing_learned, outcome_of, question, worker

AT = 2000.0


def told_of(of: ModelFamily, among: Fleet, policy: Policy, learned: Learned | None = None) -> FamilyReport:
    return reports.family_report(of, learned or Learned(), reports.Standing(policy, among, AT))


def test_the_fleet_is_told_by_tier_and_name() -> None:
    workers = (
        worker("edge-2", busy_jobs=("job-1",), queue_depth=3),
        worker("device-0", "device"),
        worker("edge-1", ready=False),
    )
    told = reports.fleet_report(Fleet(workers), AT)
    assert [beat.worker for beat in told.edge.workers] == ["edge-1", "edge-2"]
    assert (told.edge.ready, told.device.ready) == (1, 1)
    assert told.edge.load == pytest.approx(4 / 5)
    assert told.device.load == 0.0
    assert told.at == AT


def test_an_empty_fleet_is_told_too() -> None:
    told = reports.fleet_report(Fleet(), AT)
    assert (told.edge.ready, told.edge.workers, told.device.load) == (0, (), 0.0)


def test_a_policy_is_told_by_what_an_ordinary_job_would_get() -> None:
    told = told_of(family(), fleet(), LinUcbPolicy())
    wanted = decided(reports.ordinary_job("rise-shapes", AT), policy=LinUcbPolicy(), at=AT)
    assert told.chosen == wanted.decision.arm
    assert told.context == wanted.decision.context
    assert tuple(arm.seen for arm in told.arms) == wanted.candidates
    assert {arm.outcomes for arm in told.arms} == {0}
    assert all(arm.seen.width is not None for arm in told.arms)
    assert told.waits == ""


def test_what_was_learned_stands_beside_the_arm_that_learned_it() -> None:
    policy, posterior = LinUcbPolicy(), nothing_learned()
    record = decided(question(preference=0.9), policy=policy)
    for quality in (0.5, 1.0):
        once = record.model_copy(update={"decision": record.decision.model_copy(update={"id": f"d{quality}"})})
        posterior, _ = settle(posterior, once, outcome_of(once, 2.0, quality=quality), default_reference_s=5.0)
    told = told_of(family(), fleet(), policy, Learned(posterior))
    (mine,) = [arm for arm in told.arms if arm.seen.arm == record.decision.arm]
    others = [arm for arm in told.arms if arm.seen.arm != record.decision.arm]
    assert (mine.outcomes, mine.quality) == (2, 0.75)
    assert {(arm.outcomes, arm.quality) for arm in others} == {(0, None)}
    assert mine.seen.width is not None
    assert all(arm.seen.width is not None and arm.seen.width > mine.seen.width for arm in others)
    assert told.outcomes == 2
    assert told.reference_s == posterior.reference_s


def test_arms_that_cannot_run_say_why() -> None:
    told = told_of(family(), Fleet((worker(),)), FixedPolicy())
    masked = {arm.seen.arm: arm.seen.masked for arm in told.arms if arm.seen.masked}
    assert set(masked.values()) == {"no device worker is ready"}
    assert told.chosen == "large:20"


def test_without_workers_the_arms_are_told_and_what_is_missing() -> None:
    told = told_of(family(), Fleet(), FixedPolicy())
    assert told.chosen == ""
    assert told.propensity is None
    assert "no edge worker is ready" in told.waits
    assert "large:6@1.2+finisher:6" in [arm.seen.arm for arm in told.arms]
    assert all(arm.seen.predictions.latency_s is None for arm in told.arms)


def test_a_family_that_is_wrong_spoils_no_report() -> None:
    stages = [{"member": "large", "steps": 6, "untilSigma": 3.0}, {"member": "finisher", "steps": 6}]
    told = told_of(family(relays=[{"name": "bad", "stages": stages}]), fleet(), FixedPolicy())
    assert told.arms == ()
    assert "at most 1.5" in told.waits


def test_a_policy_that_charges_for_the_edge_tells_the_price_and_what_it_is_made_of() -> None:
    standing = reports.Standing(ComposedPolicy(), fleet(), AT, Pacer(price=0.3, wait=0.2))
    told = reports.family_report(family(), Learned(), standing)
    assert told.price == 0.3
    for arm in told.arms:
        mean, bonus, price, score = arm.seen.mean, arm.seen.bonus, arm.seen.price, arm.seen.score
        assert mean is not None and bonus is not None and price is not None
        assert score == pytest.approx(mean + bonus - price)
        assert bonus >= 0
        assert (price > 0) == ("large" in arm.seen.arm)  # the member that works on the edge
    assert told_of(family(), fleet(), LinUcbPolicy()).price is None


def test_how_slow_the_stages_were_is_told_with_how_sure_that_is() -> None:
    record = decided(policy=ComposedPolicy())
    seconds = tuple(2.0 * (stage or 0.0) for stage in record.basis.stage_seconds) if record.basis else ()
    seen = observed(record, outcome_of(record, 10.0, stage_seconds=seconds))
    assert seen is not None
    known = Learned()
    for number in range(30):
        once = replace(seen, decision_id=f"d{number}", clock=number)
        known = Learned(known.posterior, learned(known.composed, once, Learning()))
    told = {item.what: item for item in told_of(family(), fleet(), ComposedPolicy(), known).slowness}
    stages = [f"{stage.pool}/{stage.member}" for stage in record.decision.configuration.stages]
    assert set(stages) <= set(told)
    for stage in stages:
        assert told[stage].factor == pytest.approx(2.0, rel=0.1)
        assert 0 < told[stage].deviation < 0.1
