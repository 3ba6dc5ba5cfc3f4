"""What a demo tells of its runs: leads job by job, utilities over time, queues."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import rise_shapes
from benchmarks import demo_scheduler
from benchmarks.demo import draw, play
from benchmarks.demo.play import Run, Sample, Told
from rise_contracts.messages import Heartbeat
from rise_contracts.model import Tier
from rise_scheduler.arms import canonical_arms


def told(number: int, utility: float, **more: object) -> Told:
    made = Told(number, float(number), 0, 0.5, arm="large:6", latency_s=1.0 + number, quality=1.0, failed=False)
    return replace(made, utility=utility, **more)  # type: ignore[arg-type]


def run(name: str, *utilities: float) -> Run:
    jobs = [told(n, value) for n, value in enumerate(utilities)]
    return Run(name, ":" in name, 2.0, jobs, [Sample(0.5, 1, 2), Sample(1.0, 30, 0)])


OURS, BEST, WORST = run("composed", 0.5, 0.6, 0.7), run("large:6", 0.4, 0.6, 0.6), run("large:24", 0.0, 0.1, -0.1)


def test_a_lead_is_the_mean_of_the_differences_job_by_job() -> None:
    mean, half = demo_scheduler.paired(OURS, BEST)
    assert mean == pytest.approx(0.2 / 3)
    assert half == pytest.approx(1.96 * 0.057735 / 3**0.5, rel=1e-4)


def test_the_scheduler_is_compared_with_the_best_and_with_each() -> None:
    rows = {row.name: row for row in demo_scheduler.demo_rows([OURS, WORST, BEST])}
    assert rows["demo_utility_vs_best"].theirs == rows["demo_utility_vs_large:6"].theirs == pytest.approx(0.5333)
    assert rows["demo_utility_vs_large:24"].ratio == pytest.approx(0.6)
    assert all(rows[f"demo_utility_vs_{name}"].met for name in ("best", "large:6", "large:24"))


def test_another_policy_is_compared_with_but_is_no_static_configuration() -> None:
    rows = {row.name: row for row in demo_scheduler.demo_rows([OURS, run("linucb", 0.9, 0.9, 0.9), BEST])}
    assert rows["demo_utility_vs_linucb"].met is False
    assert rows["demo_utility_vs_best"].theirs == pytest.approx(0.5333)


def test_a_scheduler_that_is_behind_does_not_meet_the_goal() -> None:
    rows = {row.name: row for row in demo_scheduler.demo_rows([WORST, BEST, run("large:8", 0.5, 0.6, 0.7)])}
    assert rows["demo_utility_vs_best"].met is False
    assert rows["demo_utility_vs_best"].ratio == pytest.approx(-0.6)


def test_runs_of_different_lists_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="zip"):
        demo_scheduler.paired(OURS, run("short", 0.1))


def test_every_arm_of_the_family_is_a_static_configuration() -> None:
    family = rise_shapes.family()
    ways = demo_scheduler.statics(family, None)
    assert [way.arm for way in ways] == [arm.name for arm in canonical_arms(family)]
    assert [way.arm for way in demo_scheduler.statics(family, ["large:6"])] == ["large:6"]


def test_utility_is_that_of_what_was_measured() -> None:
    job = told(0, 0.0, latency_s=2.0, preference=0.5)
    assert play.utility(job, 2.0) == pytest.approx(0.5 - 0.25)
    assert play.utility(job, 4.0) == pytest.approx(0.5 - 0.125)
    assert play.utility(replace(job, quality=0.0), 2.0) == pytest.approx(-0.25)
    assert play.utility(replace(job, latency_s=100.0), 2.0) == pytest.approx(0.5 - 0.5)
    assert play.utility(replace(job, failed=True), 2.0) == pytest.approx(-0.5)


def test_all_runs_are_scored_against_one_reference() -> None:
    scored = play.scored(OURS, 1.0)
    assert [job.utility for job in scored.jobs] == pytest.approx([0.25, 0.0, 0.0])
    assert scored.samples == OURS.samples


def test_utility_over_time_is_the_mean_of_the_jobs_that_came_then() -> None:
    jobs = [told(0, 0.2, at=1.0), told(1, 0.4, at=2.0), told(2, 1.0, at=9.9), told(3, 0.0, at=10.0)]
    assert draw.binned(jobs, 10.0, 5) == ([1.0, 3.0, 9.0], [0.2, 0.4, 0.5])


def beat(worker: str, tier: Tier, depth: int, *busy: str) -> Heartbeat:
    return Heartbeat(worker=worker, tier=tier, pool=tier, pid=1, at=0.0, queue_depth=depth, busy_jobs=busy)


def test_the_queue_of_a_pool_is_counted_once_and_its_workers_tasks_each() -> None:
    alive = [beat("edge-1", "edge", 3, "a", "b"), beat("device-1", "device", 5, "c"), beat("device-2", "device", 4)]
    assert (play.tasks(alive, "edge"), play.tasks(alive, "device"), play.tasks([], "edge")) == (5, 6, 0)


def test_a_run_is_told_in_a_line() -> None:
    line = play.told_of(replace(OURS, jobs=[*OURS.jobs, told(3, -0.5, failed=True, quality=0.0)]))
    assert line.split() == "composed 0.75 right, mean 2.50 s, latest 4.0 s, 1 failed".split()


def test_the_plot_is_drawn_also_of_phases_without_jobs_and_jobs_without_a_decision(tmp_path: Path) -> None:
    undecided = replace(OURS, jobs=[*OURS.jobs[:2], replace(OURS.jobs[2], arm="", failed=True)])
    draw.demo([undecided, BEST, WORST], 60.0, tmp_path / "deep" / "demo.png")
    assert (tmp_path / "deep" / "demo.png").read_bytes()[:4] == b"\x89PNG"


def test_a_lead_adds_up_over_the_jobs() -> None:
    assert draw.leads(OURS, BEST) == pytest.approx([0.1, 0.1, 0.2])


def test_the_scheduler_has_its_colour_and_the_best_of_the_others_the_first() -> None:
    coloured = draw.coloured_runs([OURS, WORST, BEST])
    assert [run.name for run, _ in coloured] == ["composed", "large:6", "large:24"]
    assert [colour for _, colour in coloured] == [draw.OURS, *draw.OTHERS[:2]]
