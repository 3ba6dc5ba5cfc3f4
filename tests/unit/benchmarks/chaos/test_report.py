"""Rows, tables and the page: all from results, and nothing by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.chaos import report as reports
from benchmarks.chaos.report import BEGIN, END, report
from benchmarks.chaos.words import RUNNING_JOB, Cell, Door, Moment, Result


def result(
    fault: str = "killed", target: str = "edge worker", moment: Moment = Moment.IN_HEAD, **more: object
) -> Result:
    door = Door.RELAY_JOB if target.startswith("operator") else Door.COMMAND_LINE
    return Result(**{"cell": Cell(fault, target, moment, door), "jobs": 2, **more})  # type: ignore[arg-type]


def values(results: list[Result]) -> dict[str, tuple[object, ...]]:
    return {row.name: (row.ours, row.met) for row in reports.rows(results)}


def test_counts_are_sums_and_zero_is_the_goal() -> None:
    rows = values([result(jobs=1500), result(jobs=499, lost=1), result(moment=Moment.IN_TAIL, duplicated=2, hung=3)])
    counts = {name: rows[name] for name in ("jobs", "lost", "duplicated", "hung")}
    assert counts == {"jobs": (2001, True), "lost": (1, False), "duplicated": (2, False), "hung": (3, False)}


@pytest.mark.parametrize(("jobs", "met"), [(1999, False), (2000, True)])
def test_fewer_jobs_than_the_goal_prove_too_little(jobs: int, met: bool) -> None:
    rows = values([result(jobs=jobs)])
    assert rows["jobs"] == (jobs, met)
    assert rows["lost"] == (0, True)


def test_what_is_left_over_is_counted_by_cells() -> None:
    rows = values([result(left=("RISE_BLOBS: a", "RISE_BLOBS: b")), result()])
    assert rows["left_over"] == (1, False)


def test_recovery_is_by_fault_and_target_and_held_against_its_goal() -> None:
    rows = values(
        [
            result(recovery_s=4.0),
            result(moment=Moment.IN_TAIL, recovery_s=5.5),
            result(target="nats-server", recovery_s=1.0),
            result(target="driver", recovery_s=2.0, moment=Moment.BEFORE_DECISION),
        ]
    )
    assert rows["recovery_s_edge_worker_killed"] == (5.5, False)
    assert rows["recovery_s_edge_worker_killed_p50"] == (4.75, None)
    assert rows["recovery_s_nats_server_killed"] == (1.0, True)
    assert rows["recovery_s_driver_killed"] == (2.0, None)


def test_a_running_job_must_not_notice_that_driver_or_scheduler_are_away() -> None:
    away = [
        result(target="driver", recovery_s=0.1),
        result(target="driver", moment=Moment.BEFORE_DECISION, recovery_s=9.0),
        result("slow consumer", target="driver", recovery_s=9.0),
        result(target="scheduler", moment=Moment.IN_TAIL, recovery_s=0.9),
    ]
    rows = values(away)
    assert rows["stall_s_driver"] == (0.1, True)
    assert rows["stall_s_scheduler"] == (0.9, False)


def test_what_a_running_job_noticed_of_others_is_a_stall_and_no_recovery() -> None:
    rows = values([result(target=RUNNING_JOB, fault="operator leader killed", recovery_s=0.2)])
    assert rows["stall_s_running_job"] == (0.2, True)
    assert not [name for name in rows if name.startswith("recovery_s_running")]


def test_steps_made_twice_are_told_by_the_most() -> None:
    assert values([result(recomputed=2), result(recomputed=1)])["recomputed_steps"] == (2, None)
    assert "recomputed_steps" not in values([result()])


def test_a_cell_that_was_not_run_counts_for_nothing_and_says_why() -> None:
    lacking = result("out of memory", lacks="cgroups", jobs=0)
    assert values([lacking])["jobs"] == (0, False)
    assert "lacks cgroups" in reports.matrix([lacking])


def test_the_matrix_has_a_line_for_each_fault_and_a_column_for_each_moment() -> None:
    table = reports.matrix(
        [
            result(recovery_s=1.24),
            result(moment=Moment.IN_DELETION),
            result("frozen", moment=Moment.IN_HEAD, lost=1, hung=2),
            result("slow", moment=Moment.IN_HEAD, left=("x",)),
            result(recovery_s=3.0),
        ]
    )
    assert table.splitlines() == [
        "| fault | in the head | in deletion |",
        "| --- | ---: | ---: |",
        "| killed | +3.0 s (2×) | right |",
        "| frozen | **1 lost, 2 hung** | – |",
        "| slow | **left over** | – |",
    ]


PAGE = f"# Page\n\nProse.\n\n{BEGIN}\nold\n{END}\n\nMore prose.\n"


def test_only_the_generated_part_of_the_page_is_written_anew() -> None:
    page = reports.placed(PAGE, "new")
    assert page == f"# Page\n\nProse.\n\n{BEGIN}\n\nnew\n\n{END}\n\nMore prose.\n"
    assert reports.placed(page, "new") == page


@pytest.mark.parametrize("page", ["", f"{BEGIN} only", f"{END} only"])
def test_a_page_without_its_marks_is_refused(page: str) -> None:
    with pytest.raises(ValueError, match="marks"):
        reports.placed(page, "new")


def test_a_run_of_one_door_keeps_what_is_known_of_the_other(tmp_path: Path) -> None:
    file, page = tmp_path / "chaos.json", tmp_path / "reliability.md"
    page.write_text(PAGE)
    report([result(jobs=10)], 7, file=file, docs=page)
    report([result(target="operator leader", jobs=5)], 8, file=file, docs=page)
    report([result(jobs=20, recovery_s=1.0)], 9, file=file, docs=page)
    runs = reports.read(file)
    assert [(run.door, run.seeds, run.results[0].jobs) for run in runs] == [
        (Door.COMMAND_LINE, (9,), 20),
        (Door.RELAY_JOB, (8,), 5),
    ]
    rows = {row["name"]: row["ours"] for row in json.loads(file.read_text())["rows"]}
    assert rows["jobs"] == 25
    text = page.read_text()
    assert text.startswith("# Page\n\nProse.\n")
    assert text.endswith("More prose.\n")
    assert "The matrix: command line" in text
    assert "The matrix: RelayJob" in text
    assert "random parts from seed 9" in text
    assert "+1.0 s" in text


def test_what_is_kept_of_the_same_door_comes_first(tmp_path: Path) -> None:
    file = tmp_path / "chaos.json"
    first, second = result(jobs=10), result("frozen", jobs=5)
    report([first], 1, file=file, docs=None)
    report([second], 2, file=file, docs=None, keep=True)
    (run,) = reports.read(file)
    assert (run.results, run.seeds) == ((first, second), (1, 2))


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "chaos.json"
    results = [result(recovery_s=1.0, left=("a",), recomputed=3), result("slow", lacks="x", jobs=0)]
    report(results, 1, file=file, docs=None)
    (run,) = reports.read(file)
    assert list(run.results) == results
