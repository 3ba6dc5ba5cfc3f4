"""`rise run` end to end: a bus, a scheduler and two workers of its own, and nothing of them left afterwards."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.bus import cli

PROMPT = "a small red circle above a large blue square"


@pytest.fixture
def home(tmp_path: Path) -> cli.Home:
    return cli.Home(tmp_path)


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_prompt_becomes_a_picture_a_report_and_nothing_else(home: cli.Home) -> None:
    said = home.run(PROMPT, "--seed", "7", "--fixed", "large@1.2+finisher", "--preview", "--no-baseline", "-n", "2")
    assert said.code == 0, said.err
    (report_file,) = home.out.glob("*.json")
    report = json.loads(report_file.read_text())
    (run,) = report["runs"]
    assert (report["seed"], run["arm"], run["state"]) == (7, "large:3@1.2+finisher:3", "Complete")
    assert [(stage["tier"], stage["steps"]) for stage in run["stages"]] == [("edge", 3), ("device", 3)]
    assert [picture["verdict"]["ok"] for picture in run["pictures"]] == [True, True]
    assert [size(picture["path"]) for picture in run["pictures"]] == [(64, 64), (64, 64)]
    (handoff,) = run["handoffs"]
    assert (handoff["sigma"], handoff["nbytes"]) == (1.2, 2048)
    assert size(handoff["preview"]) == (64, 64)
    assert "as the prompt says" in said.out
    assert "handoff: σ 1.2 · 2,048 bytes" in said.err
    assert len(list(home.out.iterdir())) == 4
    home.assert_clean()


def test_json_is_one_document_and_warnings_go_elsewhere(home: cli.Home) -> None:
    report = home.run("a smal red circle", "--json", "--fixed", "large:2").json()
    assert report["warnings"] == ["'smal' is not a word that rise-shapes knows, and is ignored; did you mean 'small'?"]
    assert report["runs"][0]["pictures"][0]["verdict"] is None
    home.assert_clean()


def test_compare_draws_a_contact_sheet(home: cli.Home) -> None:
    report = home.run(PROMPT, "--compare", "--json").json()
    assert [run["arm"] for run in report["runs"]] == ["large:20", "small:20", "large:3@1.2+finisher:3"]
    assert len({run["seed"] for run in report["runs"]}) == 1
    assert report["runs"][0]["speedup"] is None
    assert report["runs"][2]["speedup"] > 0
    assert size(report["sheet"])[0] > 600
    home.assert_clean()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_mid_job_it_leaves_nothing(home: cli.Home, number: signal.Signals, code: int) -> None:
    (home.folder / "hold").touch()
    process = home.start(*home.run_arguments(PROMPT))
    home.wait_for("held-edge-1")
    assert len(home.processes()) >= 5
    process.send_signal(number)
    said = cli.ended(process)
    assert said.code == code
    assert said.one_line().startswith("rise: stopped by ")
    home.assert_clean()


def test_killed_outright_its_children_die_and_the_next_run_sweeps_up(home: cli.Home) -> None:
    (home.folder / "hold").touch()
    process = home.start(*home.run_arguments(PROMPT))
    home.wait_for("held-edge-1")
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 4
    process.kill()
    cli.ended(process)
    _, left = psutil.wait_procs(children, timeout=60)
    assert not left
    assert len(list(home.temporary.iterdir())) == 1
    (home.folder / "hold").unlink()
    assert home.run(PROMPT, "--fixed", "small:2", "--no-baseline").code == 0
    home.assert_clean()


def test_a_timeout_is_told_and_leaves_nothing(home: cli.Home) -> None:
    (home.folder / "hold").touch()
    said = home.run(PROMPT, "--timeout", "0.5")
    assert said.code == 6
    assert said.one_line() == "rise: the picture did not happen within 0.5 s; give it longer with --timeout"
    home.assert_clean()


def test_a_worker_that_cannot_start_is_told_with_its_own_words(home: cli.Home) -> None:
    (home.folder / "unfit").touch()
    said = home.run(PROMPT)
    assert said.code == 8
    assert "ended with exit code 1: rise_stage: no such model in" in said.one_line()
    home.assert_clean()


def test_a_job_that_fails_says_why(home: cli.Home) -> None:
    said = home.run("a broken red circle", "--no-baseline")
    assert said.code == 4
    assert "this stage is broken" in said.one_line()
    home.assert_clean()


def test_a_worker_that_dies_in_mid_job_is_replaced_and_the_job_ends(home: cli.Home) -> None:
    (home.folder / "hold").touch()
    process = home.start(*home.run_arguments(PROMPT, "--seed", "7", "--fixed", "large:3@1.2+finisher:3"))
    home.wait_for("held-edge-1")
    (worker,) = [p for p in psutil.Process(process.pid).children() if "edge-1" in p.cmdline()]
    worker.kill()
    (home.folder / "hold").unlink()
    said = cli.ended(process)
    assert said.code == 0, said.err
    assert "edge-1 ended by signal 9" in said.err
    assert "as the prompt says" in said.out
    home.assert_clean()
