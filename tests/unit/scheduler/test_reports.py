"""What the scheduler says of its fleet and of its policy."""

from __future__ import annotations

import pytest

from rise_scheduler import reports
from rise_scheduler.fleet import Fleet
from rise_scheduler.learn import settle
from rise_scheduler.policies import FixedPolicy, LinUcbPolicy
from tests.unit.scheduler.builders import decided, family, fleet, nothing_learned, outcome_of, question, worker

AT = 2000.0


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
    told = reports.family_report(family(), fleet(), nothing_learned(), LinUcbPolicy(), AT)
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
    told = reports.family_report(family(), fleet(), posterior, policy, AT)
    (mine,) = [arm for arm in told.arms if arm.seen.arm == record.decision.arm]
    others = [arm for arm in told.arms if arm.seen.arm != record.decision.arm]
    assert (mine.outcomes, mine.quality) == (2, 0.75)
    assert {(arm.outcomes, arm.quality) for arm in others} == {(0, None)}
    assert mine.seen.width is not None
    assert all(arm.seen.width is not None and arm.seen.width > mine.seen.width for arm in others)
    assert told.outcomes == 2
    assert told.reference_s == posterior.reference_s


def test_arms_that_cannot_run_say_why() -> None:
    told = reports.family_report(family(), Fleet((worker(),)), nothing_learned(), FixedPolicy(), AT)
    masked = {arm.seen.arm: arm.seen.masked for arm in told.arms if arm.seen.masked}
    assert set(masked.values()) == {"no device worker is ready"}
    assert told.chosen == "large:20"


def test_without_workers_the_arms_are_told_and_what_is_missing() -> None:
    told = reports.family_report(family(), Fleet(), nothing_learned(), FixedPolicy(), AT)
    assert told.chosen == ""
    assert told.propensity is None
    assert "no edge worker is ready" in told.waits
    assert "large:6@1.2+finisher:6" in [arm.seen.arm for arm in told.arms]
    assert all(arm.seen.predictions.latency_s is None for arm in told.arms)


def test_a_family_that_is_wrong_spoils_no_report() -> None:
    stages = [{"member": "large", "steps": 6, "untilSigma": 3.0}, {"member": "finisher", "steps": 6}]
    told = reports.family_report(
        family(relays=[{"name": "bad", "stages": stages}]), fleet(), nothing_learned(), FixedPolicy(), AT
    )
    assert told.arms == ()
    assert "at most 1.5" in told.waits
