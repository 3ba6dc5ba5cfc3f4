"""What a run says of its rings, and when it must fail for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import rings


@pytest.mark.parametrize(
    ("path", "want"),
    [
        ("bus/test_worker.py", "bus"),
        ("model/test_exact.py", "model"),
        ("chart/test_lint.py", "chart"),
        ("cluster/test_ground.py", "cluster"),
        ("nodes/test_start.py", "nodes"),
        ("unit/stage/test_solvers.py", "unit"),
        ("test_layout.py", "unit"),
    ],
)
def test_a_test_belongs_to_the_ring_of_its_folder(path: str, want: str) -> None:
    assert rings.ring_of(rings.TESTS / path) == want


def test_required_rings_are_read_with_their_blanks() -> None:
    assert rings.required_rings(" unit, bus ,,model") == ("unit", "bus", "model")
    assert rings.required_rings("") == ()


def test_a_ring_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="wanted some of unit, bus, model, chart, cluster, nodes, got 'buss'"):
        rings.required_rings("unit,buss")


def test_a_required_ring_counts_when_something_of_it_ran_and_nothing_was_left_out() -> None:
    assert rings.unmet(["unit", "bus"], {"unit": 3, "bus": 1}, {}) == []


def test_a_required_ring_that_lacks_something_is_a_failure_with_the_reason() -> None:
    got = rings.unmet(["bus"], {"unit": 3}, {"bus": "nats-server"})
    assert got == ["bus is required, but bus lacks nats-server"]


def test_a_part_left_out_of_a_required_ring_is_a_failure_too() -> None:
    assert rings.unmet(["unit"], {"unit": 3}, {"unit/stage": "torch"}) == [
        "unit is required, but unit/stage lacks torch"
    ]


def test_a_required_ring_without_a_test_is_a_failure() -> None:
    assert rings.unmet(["model"], {"unit": 3}, {}) == ["model is required, but no test of it ran"]


def test_a_ring_that_is_not_required_may_be_left_out() -> None:
    assert rings.unmet(["unit"], {"unit": 3}, {"model": "torch", "bus": "nats-server"}) == []


@pytest.mark.parametrize(
    ("ran", "left_out", "want"),
    [
        (
            {"cluster": 4, "unit": 5, "bus": 2, "model": 1},
            {},
            "rings run: unit 5, bus 2, model 1, cluster 4 · rings skipped: none",
        ),
        (
            {"unit": 5},
            {"model": "torch", "bus": "nats-server"},
            "rings run: unit 5 · rings skipped: bus lacks nats-server; model lacks torch",
        ),
        ({}, {}, "rings run: none · rings skipped: none"),
    ],
)
def test_the_last_line_names_what_ran_and_what_is_missing(
    ran: dict[str, int], left_out: dict[str, str], want: str
) -> None:
    assert rings.closing_line(ran, left_out) == want


def run_one_file(require: str, *options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """A real run of one small file of this folder, with `RISE_REQUIRE` set."""
    target = Path(__file__).with_name("test_locks.py")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, str(target)],
        cwd=rings.TESTS.parent,
        env={**os.environ, "RISE_REQUIRE": require, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_run_that_did_not_run_a_required_ring_exits_with_a_failure_and_says_so_last() -> None:
    done = run_one_file("unit,bus")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    last = done.stdout.splitlines()[-2:]
    assert last[0] == "FAILED: bus is required, but no test of it ran"
    assert last[1].startswith("rings run: unit ")


def test_a_run_of_what_was_required_exits_well() -> None:
    done = run_one_file("unit")
    assert done.returncode == 0, done.stdout
    last = done.stdout.splitlines()[-1]
    assert last.startswith("rings run: unit ")
    assert "FAILED" not in done.stdout


def test_a_misspelt_ring_ends_the_run_before_it_starts() -> None:
    done = run_one_file("uint")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"RISE_REQUIRE: wanted some of {', '.join(rings.RINGS)}, got 'uint'" in done.stderr


def test_a_run_in_several_processes_counts_what_all_of_them_ran() -> None:
    alone, several = run_one_file("unit"), run_one_file("unit", "-n", "2")
    assert several.returncode == 0, several.stdout
    assert several.stdout.splitlines()[-1] == alone.stdout.splitlines()[-1]


def test_a_folder_that_is_named_is_left_out_where_it_cannot_run() -> None:
    done = run_one_file("", str(rings.TESTS / "nodes"), RISE_NODES="")
    assert done.returncode == 0, done.stdout
    last = done.stdout.splitlines()[-1]
    assert (last.startswith("rings run: unit "), "nodes lacks RISE_NODES=1" in last) == (True, True)


def test_what_the_processes_left_out_is_missing_from_the_run() -> None:
    folder = rings.TESTS / "nodes"
    done = run_one_file("unit,nodes", "-n", "2", str(folder), RISE_NODES="")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    last = done.stdout.splitlines()[-2:]
    assert last[0].startswith("FAILED: nodes is required, but nodes lacks RISE_NODES=1")
    assert last[1].startswith("rings run: unit ")
