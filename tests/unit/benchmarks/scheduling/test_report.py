"""From scores to rows, and from settings to files and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks._rows import Row
from benchmarks.scheduling import report, settings, speed
from benchmarks.scheduling.closedloop import Load, Result
from benchmarks.scheduling.contest import Entry, Score
from benchmarks.scheduling.entrants import PRICED
from benchmarks.scheduling.offpolicy import Estimates
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.speed import Speed
from rise_scheduler.learned import Learned
from rise_scheduler.policies import LinUcbPolicy
from tests.unit.benchmarks.scheduling.worlds import small


def scores(name: str, regret: float, calm: float, seeds: int = 3) -> list[Score]:
    entry = Entry("synthetic", name, {}, 0, Options())
    return [
        Score(entry, regret + seed, np.full(400, calm), {"calm": regret / 2, "edge": regret / 4}, 3.0, 9.0)
        for seed in range(seeds)
    ]


EVERYBODY = {
    "random": scores("random", 600.0, 0.2),
    "linucb": scores("linucb", 199.0, 0.1),
    "analytic": scores("analytic", 49.0, 0.02),
    "composed": scores("composed", 19.0, 0.01),
    "composed-no-prior": scores("composed-no-prior", 40.0, 0.03),
    "composed-inverted": scores("composed-inverted", 79.0, 0.05),
}


def by_name(rows: list[Row]) -> dict[str, Row]:
    found = {row.name: row for row in rows}
    assert len(found) == len(rows), "two rows have one name"
    return found


def test_goals_are_ratios_of_mean_regrets_and_say_whether_they_are_met() -> None:
    rows = by_name(list(report.replay_rows("synthetic", EVERYBODY)))
    assert (rows["regret_vs_linucb"].ratio, rows["regret_vs_linucb"].met) == (0.1, True)
    assert (rows["regret_vs_analytic"].ratio, rows["regret_vs_analytic"].met) == (0.4, True)
    assert (rows["inverted_vs_linucb"].ratio, rows["inverted_vs_linucb"].met) == (0.4, False)
    assert rows["regret_vs_linucb"].n == 3


def test_jobs_until_good_are_counted_against_random_and_never_is_all_of_them() -> None:
    rows = by_name(list(report.replay_rows("synthetic", EVERYBODY)))
    assert (rows["jobs_to_10_percent_prior"].ours, rows["jobs_to_10_percent_prior"].met) == (50, True)
    assert (rows["jobs_to_10_percent_no_prior"].ours, rows["jobs_to_10_percent_no_prior"].met) == (400, False)


def test_each_policy_has_a_row_with_its_interval_and_the_second_world_its_own_names() -> None:
    rows = by_name(list(report.replay_rows("measured", EVERYBODY)))
    assert rows["regret_measured_linucb"].ours == 200.0
    assert rows["regret_measured_linucb"].goal.startswith("95 %: 199")
    assert "regret_vs_linucb_measured" in rows
    assert rows["regret_measured_edge_phase"].theirs == pytest.approx(49.0 / 4)


def test_the_loop_is_judged_at_its_headline_load() -> None:
    good = Result(0.28, 2.0, 5.0, 7.0, 0.004, 0.8)
    bad = Result(0.1, 6.0, 25.0, 60.0, 0.2, 1.0)
    loads = (Load(1.6, 1.0, 600), Load(0.4, 1.0, 600))
    rows = by_name(list(report.loop_rows({(load, name): [r] for load in loads for name, r in
                                          ((PRICED, good), ("linucb", bad))})))  # fmt: skip
    assert (rows["loop_p95_vs_linucb"].ratio, rows["loop_p95_vs_linucb"].met) == (0.2, True)
    assert (rows["loop_over_10s"].ours, rows["loop_over_10s"].met) == (0.4, True)
    assert rows["loop_0.4_cv1_linucb_p95"].ours == 25.0


def test_an_off_policy_error_is_the_mean_of_what_each_seed_is_off_by() -> None:
    found = [Estimates(0.3, 0.2, 0.26, 0.253, 0.25), Estimates(0.2, 0.25, 0.25, 0.244, 0.25)]
    rows = by_name(list(report.offpolicy_rows(found)))
    assert (rows["offpolicy_error"].ours, rows["offpolicy_error"].met) == (0.0045, True)
    assert rows["offpolicy_error_ips"].ours == 0.05


def test_speed_is_held_against_its_limits() -> None:
    rows = by_name(list(report.speed_rows(Speed(90.0, 600.0, 28, 9), Speed(30, 60, 3, 9), Speed(200, 300, 28, 9))))
    assert (rows["decision_us_p50"].met, rows["decision_us_p99"].met) == (True, False)
    assert rows["decision_us_p50_three_arms"].theirs == report.PUBLISHED_US


def test_decisions_are_timed_among_all_arms_placed_on_twenty_workers() -> None:
    asked = speed.questions(small(), 5)
    assert len(asked[0].candidates) == 28
    assert len(speed.questions(small(), 5, 3)[0].candidates) == 3
    found = speed.choosing(LinUcbPolicy(), Learned(), asked, 20)
    assert 0 < found.p50 <= found.p99
    assert (found.arms, found.n) == (28, 20)


def test_settings_are_read_as_they_were_written_and_those_of_another_time_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    tuned = {"synthetic": {"linucb": {"alpha": 0.3, "ridge": 0.1}, "random": {}}}
    settings.save(tuned, file)
    assert settings.load(file) == tuned
    settings.save({"synthetic": {"linucb": {"alpha": 0.3, "beta": 0.1}}}, file)
    with pytest.raises(ValueError, match="run it in full"):
        settings.load(file)
    settings.save({"loop": {"nobody": {}}}, file)
    with pytest.raises(ValueError, match="nobody"):
        settings.load(file)
