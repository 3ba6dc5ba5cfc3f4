"""Points of the decision log, and what they add up to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_cli import decision_log
from rise_contracts.utility import utility
from tests.unit.cli.decisions import ARM, candidate, outcome, record


def point(**changes: Any) -> decision_log.Point:
    return decision_log.point(record(candidate(), candidate("large:24", 0.9), **changes))


def test_a_decision_whose_job_runs_has_a_prediction_alone() -> None:
    got = point()
    assert (got.at, got.family, got.policy, got.arm, got.kind) == (1000.0, "tiny", "composed", ARM, "relay")
    assert (got.predicted_s, got.observed_s, got.failed, got.utility, got.missed) == (1.2, None, False, None, None)
    assert got.given_up == pytest.approx(0.4)


def test_latency_is_counted_from_the_decision_on_and_is_no_less_than_the_stages() -> None:
    assert point(outcome=outcome(1.45)).observed_s == pytest.approx(1.2)
    assert point(outcome=outcome(0.3)).observed_s == pytest.approx(0.83)


def test_a_finished_job_is_worth_what_the_scheduler_credits_it_with() -> None:
    got = point(outcome=outcome(1.45, quality=0.9))
    assert got.utility == pytest.approx(utility(0.9, 1.2, preference=0.5, reference_s=2.0))
    assert got.utility == pytest.approx(0.5 * 0.9 - 0.5 * 0.5 * 0.6)
    assert got.missed == pytest.approx(0.8 - (0.5 * 0.9 - 0.5 * 0.5 * 0.6))
    unjudged = point(outcome=outcome(1.45))
    assert unjudged.utility == pytest.approx(utility(0.8, 1.2, preference=0.5, reference_s=2.0))


def test_a_failed_job_is_worth_the_least_and_has_no_latency() -> None:
    got = point(outcome=outcome(1.45, failed=True))
    assert got.failed
    assert got.observed_s is None
    assert got.utility == -0.5


def test_what_is_left_out_is_no_measure_of_what_was_chosen() -> None:
    masked = candidate("large:24", 0.9, masked="no edge worker is ready")
    assert decision_log.point(record(candidate(), masked)).given_up == pytest.approx(0.0)


def test_a_policy_without_means_gives_no_regret() -> None:
    got = decision_log.point(record(candidate(score=None), policy="fixed", outcome=outcome()))
    assert (got.given_up, got.missed) == (None, None)
    assert got.observed_s is not None


def test_arms_are_counted_the_most_frequent_first() -> None:
    arms = ["b", "a", "c", "b", "a", "b"]
    points = [decision_log.point(record(candidate())) for _ in arms]
    named = [replace(each, arm=arm) for each, arm in zip(points, arms, strict=True)]
    assert decision_log.shares(named) == [("b", 3), ("a", 2), ("c", 1)]


def test_accuracy_is_by_the_middle_and_of_ended_jobs_alone() -> None:
    ended = [point(outcome=outcome(0.25 + seconds)) for seconds in (1.2, 1.5, 60.0)]
    got = decision_log.accuracy([*ended, point(), point(outcome=outcome(failed=True))])
    assert got is not None
    assert got.n == 3
    assert got.ratio == pytest.approx(1.25)
    assert got.error == pytest.approx(0.2)
    assert decision_log.accuracy([point()]) is None


@given(st.lists(st.none() | st.floats(-1, 1), max_size=50))
def test_sums_run_over_what_is_known(values: list[float | None]) -> None:
    sums = decision_log.cumulative(values)
    assert len(sums) == len(values)
    assert (sums or [0.0])[-1] == pytest.approx(sum(value for value in values if value is not None))
