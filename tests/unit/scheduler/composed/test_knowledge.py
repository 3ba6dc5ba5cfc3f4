from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rise_scheduler.composed.knowledge import (
    LOG_CUT,
    SETTLED_KEPT,
    Knowledge,
    Learning,
    Observation,
    learned,
    names_member,
    widened,
)
from rise_scheduler.composed.prior import solved
from tests.unit.scheduler.composed.seen import HOW, after, seen

QUIET = Learning(drift_alarm=math.inf)
"""Without alarms, which are the one thing that depends on the order."""


def mean(known: Knowledge, name: str) -> float:
    return known.level(name, HOW).posterior(HOW.latency_prior_sd, HOW.latency_noise_sd)[0]


def test_stages_that_take_as_long_as_predicted_teach_nothing_but_certainty() -> None:
    known = after(seen(str(index), clock=index) for index in range(50))
    assert mean(known, "edge/large") == pytest.approx(0.0)
    assert known.level("edge/large", HOW).n > 25


def test_a_stage_that_takes_twice_as_long_is_soon_expected_to() -> None:
    known = after(seen(str(i), clock=i, seconds=(1.2, 0.12), latency_s=1.33) for i in range(20))
    assert math.exp(mean(known, "edge/large")) == pytest.approx(2.0, rel=0.1)
    assert math.exp(mean(known, "device/finisher")) == pytest.approx(1.0, rel=0.01)
    assert mean(known, "rest/relay") == pytest.approx(0.0, abs=0.01)


def test_what_stages_and_waits_do_not_explain_is_the_rest() -> None:
    known = after(seen(str(i), clock=i, latency_s=0.73 + 0.5) for i in range(50))
    assert mean(known, "rest/relay") == pytest.approx(0.25, abs=0.02)


def test_a_longer_wait_than_predicted_is_learned_by_pool() -> None:
    known = after(seen(str(i), clock=i, waits=(1.0, 0.0), wait_s=2.0, latency_s=2.73) for i in range(30))
    assert math.exp(mean(known, "wait/edge")) == pytest.approx(2.1 / 1.1, rel=0.1)


def test_a_latency_alone_is_shared_out_over_the_stages() -> None:
    known = after(seen(str(i), clock=i, seconds=(), latency_s=1.46) for i in range(80))
    assert mean(known, "edge/large") > 0.5
    assert 0 < mean(known, "device/finisher") < mean(known, "edge/large")


def test_nothing_is_learned_of_latencies_without_a_forecast() -> None:
    known = after([seen(predicted=(0.6, None))])
    assert set(known.levels) == {"failed/large:6@1.2+finisher:6"}
    assert known.quality.n == pytest.approx(1, rel=0.01)


def test_one_stuck_job_counts_no_more_than_the_cut() -> None:
    known = after([seen(seconds=(1e6, 0.12), latency_s=1e6)])
    assert known.level("edge/large", HOW).total == pytest.approx(LOG_CUT, rel=0.05)


def test_a_job_that_failed_late_took_at_least_so_long_and_one_that_failed_early_says_nothing() -> None:
    late = after([seen(failed=True, quality=None, seconds=(), latency_s=7.3)])
    assert late.level("edge/large", HOW).total > 0
    early = after([seen(failed=True, quality=None, seconds=(), latency_s=0.1)])
    assert "edge/large" not in early.levels
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
        one_ridge = first.quality.at(first.clock, HOW.quality_memory)
        two_ridge = other.quality.over(first.quality.names).at(first.clock, HOW.quality_memory)
        np.testing.assert_allclose(two_ridge.xtx, one_ridge.xtx, atol=1e-9)
        np.testing.assert_allclose(two_ridge.rx, one_ridge.rx, atol=1e-9)


@given(st.lists(observations(), max_size=30))
@settings(deadline=None)
def test_no_outcome_poisons_what_is_known(outcomes: list[Observation]) -> None:
    known = after(outcomes)
    model = solved(known.quality, known.quality.names, HOW.prior)
    assert np.isfinite(model.theta).all()
    if known.quality.names:
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


def test_a_feature_names_its_members() -> None:
    assert names_member("head=large", "large")
    assert names_member("effort:large*complexity", "large")
    assert names_member("arm=large:6@1.2+finisher:6", "finisher")
    assert not names_member("arm=large:6", "lar")
    assert not names_member("one", "large")
    assert not names_member("prompt.tokens", "tokens")


def test_late_outcomes_weigh_what_they_would_have_weighed() -> None:
    stream = [seen(str(i), clock=i) for i in range(30)]
    stale = seen("stale", clock=0, seconds=(2.4, 0.12), latency_s=2.53)
    early, late = after([stale, *stream]), after([*stream, stale])
    assert mean(early, "edge/large") == pytest.approx(mean(late, "edge/large"), rel=1e-6)
    fresh = after([*stream, replace(stale, clock=30)])
    assert mean(fresh, "edge/large") > mean(late, "edge/large")
