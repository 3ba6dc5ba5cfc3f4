from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.composed.knowledge import (
    LEVELS_KEPT,
    SETTLED_KEPT,
    Knowledge,
    Learning,
    Observation,
    learned,
    names_member,
    widened,
)
from rise_scheduler.composed.latency import slowness_of
from rise_scheduler.composed.prior import Prior, solved
from rise_scheduler.composed.seconds import LOG_CUT, shortness
from tests.unit.scheduler.composed.seen import HOW, after, seen

QUIET = Learning(drift_alarm=math.inf)
"""Without alarms, which are the one thing that depends on the order."""


def times(known: Knowledge, key: str, seconds: float = 0.6) -> float:
    """How many times as long as by formula a stage is expected to take, or a wait."""
    slowness = slowness_of(known, HOW)
    line = slowness.wait(key) if key.startswith("wait/") else slowness.stage(key)
    return math.exp(line.level + line.slope * (0.0 if key.startswith("wait/") else shortness(seconds, 2.0)))


def rest(known: Knowledge) -> float:
    return slowness_of(known, HOW).rests["relay"][0]


def test_stages_that_take_as_long_as_predicted_teach_nothing_but_certainty() -> None:
    known = after(seen(str(index), clock=index) for index in range(50))
    assert times(known, "edge/large") == pytest.approx(1.0)
    assert (
        slowness_of(known, HOW).stage("edge/large").level_var
        < slowness_of(Knowledge(), HOW).stage("edge/large").level_var
    )


def test_a_stage_that_takes_twice_as_long_is_soon_expected_to() -> None:
    known = after(seen(str(i), clock=i, seconds=(1.2, 0.12), latency_s=1.33) for i in range(20))
    assert times(known, "edge/large") == pytest.approx(2.0, rel=0.1)
    assert times(known, "device/finisher", 0.12) == pytest.approx(1.0, rel=0.01)
    assert rest(known) == pytest.approx(0.0, abs=0.01)


def test_what_slows_one_member_down_is_expected_of_the_others_at_its_pool() -> None:
    known = after(seen(str(i), clock=i, seconds=(1.2, 0.12), latency_s=1.33) for i in range(20))
    assert 1.3 < times(known, "edge/another") < times(known, "edge/large")
    assert times(known, "elsewhere/large") == 1.0


def test_what_every_stage_takes_besides_its_steps_weighs_more_on_short_ones() -> None:
    """0.1 s in each stage that no formula knows, of stages of 0.1 s and of 1 s."""
    outcomes = [
        seen(str(i), clock=i, predicted=(p, 0.12), seconds=(p + 0.1, 0.12), latency_s=p + 0.23)
        for i, p in enumerate([0.1, 1.0] * 60)
    ]
    known = after(outcomes)
    assert times(known, "edge/large", 0.1) == pytest.approx(2.0, rel=0.15)
    assert times(known, "edge/large", 1.0) == pytest.approx(1.1, rel=0.1)


def test_what_stages_and_waits_do_not_explain_is_the_rest() -> None:
    known = after(seen(str(i), clock=i, latency_s=0.73 + 0.5) for i in range(50))
    assert rest(known) == pytest.approx(0.25, abs=0.02)


def test_a_longer_wait_than_predicted_is_learned_by_pool() -> None:
    known = after(seen(str(i), clock=i, waits=(1.0, 0.0), wait_s=2.0, latency_s=2.73) for i in range(30))
    assert times(known, "wait/edge") > 1.5
    assert times(known, "edge/large") == pytest.approx(1.0, rel=0.1)


def test_a_latency_alone_is_shared_out_over_the_stages() -> None:
    known = after(seen(str(i), clock=i, seconds=(), latency_s=1.46) for i in range(80))
    assert 1.0 < times(known, "device/finisher", 0.12) < times(known, "edge/large")
    assert times(known, "edge/large") > 1.5


def test_nothing_is_learned_of_latencies_without_a_forecast() -> None:
    known = after([seen(predicted=(0.6, None))])
    assert set(known.levels) == {"failed/large:6@1.2+finisher:6"}
    assert known.seconds.names == ()
    assert known.quality.n == pytest.approx(1, rel=0.01)


def test_one_stuck_job_counts_no_more_than_the_cut() -> None:
    known = after([seen(seconds=(1e6, 0.12), latency_s=1e6)])
    assert times(known, "edge/large") <= math.exp(LOG_CUT)


def test_a_job_that_failed_late_took_at_least_so_long_and_one_that_failed_early_says_nothing() -> None:
    late = after([seen(failed=True, quality=None, seconds=(), latency_s=7.3)])
    assert times(late, "edge/large") > 1.0
    early = after([seen(failed=True, quality=None, seconds=(), latency_s=0.1)])
    assert early.seconds.names == ()
    assert early.level("failed/large:6@1.2+finisher:6", HOW).total > 0


def test_a_failure_has_no_quality_whatever_it_claims() -> None:
    assert after([seen(failed=True, quality=1.0)]).quality.n == 0


def test_quality_is_learned_as_what_it_is_above_the_expected() -> None:
    known = after(seen(str(index), clock=index) for index in range(60))
    model = solved(known.quality, known.quality.names, HOW.prior)
    assert model.mean_of(seen().features) == pytest.approx(0.1, abs=0.005)


def test_the_same_outcome_counts_once() -> None:
    once = after([seen()])
    assert learned(once, seen(), HOW) is once
    assert learned(once, seen(quality=0.3), HOW) is once


def test_a_quality_that_comes_later_counts_then_and_only_it() -> None:
    late = after([seen(quality=None), seen()])
    once = after([seen()])
    assert late.clock == once.clock == 1
    assert late.levels == once.levels
    np.testing.assert_array_equal(late.seconds.xtx, once.seconds.xtx)
    np.testing.assert_allclose(late.quality.xtx, once.quality.xtx)
    assert learned(late, seen(), HOW) is late


def test_what_the_log_says_was_settled_is_not_settled_again_once_it_was_forgotten_here() -> None:
    known = after(seen(str(index)) for index in range(SETTLED_KEPT + 1))
    assert "0" not in known.settled
    assert learned(known, seen("0", settled=True), HOW) is known
    half = learned(known, seen("0", settled=False), HOW)
    assert half.clock == known.clock
    assert half.quality.n > known.quality.n * 0.99
    assert half.levels == known.levels
    assert half.seconds is known.seconds


def observations() -> st.SearchStrategy[Observation]:
    seconds = st.floats(0, 100)
    return st.builds(
        seen,
        decision_id=st.uuids().map(str),
        clock=st.integers(0, 40),
        arm=st.sampled_from(["a:1", "b:2"]),
        members=st.sampled_from([("a",), ("a", "b")]),
        features=st.dictionaries(st.sampled_from(["one", "head=a", "arm=a:1"]), st.floats(-3, 3), min_size=1),
        seconds=st.tuples(seconds, seconds) | st.just(()),
        predicted=st.tuples(seconds, seconds | st.none()),
        latency_s=st.floats(0, 1e9),
        wait_s=seconds | st.none(),
        quality=st.none() | st.floats(0, 1),
        failed=st.booleans(),
    )


def same(one: Ridge, two: Ridge, clock: int, memory: float) -> None:
    one, two = one.at(clock, memory), two.over(one.names).at(clock, memory)
    np.testing.assert_allclose(two.xtx, one.xtx, atol=1e-9)
    np.testing.assert_allclose(two.rx, one.rx, atol=1e-9)


@given(st.lists(observations(), min_size=2, max_size=4))
@settings(deadline=None)
def test_outcomes_teach_the_same_in_whatever_order_they_come(outcomes: list[Observation]) -> None:
    start = Knowledge(clock=40)  # decisions are older than what is known when their outcomes come
    first = after(outcomes, QUIET, start)
    for order in permutations(outcomes):
        other = after(order, QUIET, start)
        assert other.clock == first.clock
        for name in first.levels:
            one, two = first.level(name, HOW), other.level(name, HOW)
            assert (two.n, two.total) == pytest.approx((one.n, one.total), abs=1e-9)
        same(first.quality, other.quality, first.clock, HOW.quality_memory)
        same(first.seconds, other.seconds, first.clock, HOW.latency_memory)


@given(st.lists(observations(), max_size=30))
@settings(deadline=None)
def test_no_outcome_poisons_what_is_known(outcomes: list[Observation]) -> None:
    known = after(outcomes)
    for ridge, prior in ((known.quality, HOW.prior), (known.seconds, HOW.seconds_prior)):
        model = solved(ridge, ridge.names, prior)
        assert np.isfinite(model.theta).all()
        if ridge.names:
            assert np.linalg.eigvalsh(model.inverse)[0] > 0
    for level in known.levels.values():
        assert math.isfinite(level.total)
        assert level.n >= 0


def test_after_a_change_belief_stays_and_certainty_goes_for_that_member_alone() -> None:
    known = after(
        seen(f"{name}{i}", clock=i, features={"one": 1.0, name: 1.0}, quality=value)
        for i in range(100)
        for name, value in (("head=large", 0.9), ("head=other", 0.6))
    )
    before = solved(known.quality, known.quality.names, HOW.prior)
    wide = widened(known.quality, "large", HOW)
    now = solved(wide, wide.names, HOW.prior)
    np.testing.assert_allclose(now.theta, before.theta, atol=1e-9)
    large, other = (known.quality.names.index(f"head={name}") for name in ("large", "other"))
    assert now.inverse[large, large] > 2 * before.inverse[large, large]
    assert now.inverse[other, other] < 2 * before.inverse[other, other]
    assert np.linalg.eigvalsh(wide.xtx)[0] >= -1e-9


def test_a_drop_is_followed_sooner_with_the_alarm_than_without() -> None:
    good = [seen(f"g{i}", clock=i, quality=0.9) for i in range(300)]
    bad = [seen(f"b{i}", clock=300 + i, quality=0.5) for i in range(25)]

    def believed(how: Learning) -> float:
        known = after(good + bad, how)
        return 0.7 + solved(known.quality, known.quality.names, how.prior).mean_of(seen().features)

    assert believed(HOW) < 0.6
    assert believed(QUIET) > 0.75


def believing(quality: float) -> Learning:
    """With a prior from a hundred pictures of the same arm that were each worth so much."""
    offline = Ridge()
    for _ in range(100):
        offline = offline.plus(seen().features, quality - seen().base_quality, 1.0)
    return replace(HOW, prior=Prior(offline, weight=100.0))


def test_a_prior_that_foretells_well_is_trusted_and_one_that_does_not_is_dropped() -> None:
    right, wrong = believing(0.8), believing(0.2)
    assert Knowledge().trust(right) == 0.9
    outcomes = [seen(str(i), clock=i) for i in range(40)]
    assert after(outcomes, right).trust(right) == 1.0
    assert after(outcomes, wrong).trust(wrong) == 0.0


def test_what_is_learned_under_a_wrong_prior_is_soon_what_would_be_learned_without_one() -> None:
    wrong = believing(0.2)
    known = after((seen(str(i), clock=i) for i in range(40)), wrong)
    model = solved(known.quality, known.quality.names, wrong.prior, known.trust(wrong))
    assert model.mean_of(seen().features) == pytest.approx(0.1, abs=0.01)


def test_a_prior_that_was_disproved_stays_out_also_when_it_looks_right_for_a_while() -> None:
    wrong = believing(0.2)
    disproved = after((seen(f"a{i}", clock=i) for i in range(40)), wrong)
    again = (seen(f"b{i}", clock=40 + i, quality=0.2) for i in range(200))
    known = after(again, wrong, disproved)
    assert known.trust(wrong) == 0.0


def test_a_prior_survives_some_pictures_that_tell_against_it() -> None:
    right = believing(0.8)
    known = after((seen(f"a{i}", clock=i, quality=0.0) for i in range(2)), right)
    known = after((seen(f"b{i}", clock=2 + i) for i in range(40)), right, known)
    assert known.trust(right) == 1.0


def test_what_no_quality_can_be_is_not_expected() -> None:
    """An arm far from all that was seen is foretold beyond what is possible: a right picture is then no news."""
    known = after(seen(f"a{i}", clock=i, quality=1.0) for i in range(50))
    far = seen("b", clock=50, quality=1.0, features=dict(seen().features) | {"effort:large": 90.0})
    model = solved(known.quality, known.quality.names, HOW.prior)
    assert model.mean_of(far.features) > 1.0
    fades = math.exp(-1 / HOW.quality_memory)
    assert after([far], HOW, known).noise.total == pytest.approx(known.noise.total * fades)


def test_without_a_prior_there_is_nothing_to_trust() -> None:
    assert "prior" not in after([seen()]).levels


def test_arms_that_jobs_made_up_do_not_fill_the_record() -> None:
    known = after(seen(f"d{i}", clock=i, arm=f"large:{i}") for i in range(LEVELS_KEPT + 20))
    assert len(known.levels) == LEVELS_KEPT
    assert f"failed/large:{LEVELS_KEPT + 19}" in known.levels
    assert "failed/large:0" not in known.levels
    assert "rest/relay" in known.levels


def test_a_feature_names_its_member() -> None:
    assert names_member("head=large", "large")
    assert names_member("tail=finisher", "finisher")
    assert not names_member("head=large*complexity", "large")
    assert not names_member("head=large", "lar")
    assert not names_member("arm=large:6", "large")
    assert not names_member("one", "large")


def test_late_outcomes_weigh_what_they_would_have_weighed() -> None:
    stream = [seen(str(i), clock=i) for i in range(30)]
    stale = seen("stale", clock=0, seconds=(2.4, 0.12), latency_s=2.53)
    early, late = after([stale, *stream]), after([*stream, stale])
    assert times(early, "edge/large") == pytest.approx(times(late, "edge/large"), rel=1e-6)
    fresh = after([*stream, replace(stale, clock=30)])
    assert times(fresh, "edge/large") > times(late, "edge/large")
