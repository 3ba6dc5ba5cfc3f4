"""Intervals and the counting of jobs."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scheduling import statistics
from benchmarks.scheduling.contest import Entry
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.tune import best


def test_an_interval_of_means_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        found = statistics.mean(rng.normal(5.0, 2.0, 20).tolist())
        held += found.low <= 5.0 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_seeds_that_are_hard_for_both_do_not_widen_a_paired_difference() -> None:
    hard = np.random.default_rng(1).normal(100.0, 30.0, 20)
    paired = statistics.difference((hard + 1.0).tolist(), hard.tolist())
    assert (paired.low, paired.value, paired.high) == pytest.approx((1.0, 1.0, 1.0))
    alone = statistics.mean(hard.tolist())
    assert alone.high - alone.low > 10


def test_a_ratio_is_of_the_means_over_the_same_seeds() -> None:
    theirs = np.random.default_rng(2).normal(100.0, 30.0, 20)
    found = statistics.ratio((0.25 * theirs).tolist(), theirs.tolist())
    assert (found.low, found.value, found.high) == pytest.approx((0.25, 0.25, 0.25))
    with pytest.raises(ValueError, match="got 3 and 2"):
        statistics.ratio([1.0, 2.0, 3.0], [1.0, 2.0])


def test_a_policy_is_good_once_a_window_of_jobs_is() -> None:
    random = np.full(400, 0.2)
    learns = np.concatenate([np.full(100, 0.2), np.full(300, 0.01)])
    assert statistics.jobs_until(learns, random, 0.1) == 148  # two bad jobs in the window are still a tenth at most
    assert statistics.jobs_until(np.full(400, 0.01), random, 0.1) == statistics.WINDOW
    assert statistics.jobs_until(np.full(400, 0.03), random, 0.1) is None


def test_tuning_takes_the_settings_of_least_mean_regret_and_of_equals_the_first() -> None:
    def trial(entrant: str, alpha: float, seed: int) -> Entry:
        return Entry("synthetic", entrant, {"alpha": alpha}, seed, Options())

    trials = [trial(name, alpha, seed) for seed in (1, 2) for name in ("a", "b") for alpha in (0.1, 0.5)]
    #            a: .1  .5  b: .1  .5   and again for the second seed
    found = best(trials, [9.0, 1.0, 3.0, 3.0, 1.0, 8.0, 3.0, 3.0])
    assert found == {"a": {"alpha": 0.5}, "b": {"alpha": 0.1}}
