"""A platform that stays up, and every command that works with it. One platform serves all tests of this file."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.bus import cli

PROMPT = "a small red circle above a large blue square"
ARM = "large:3@1.2+finisher:3"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cli.Home]:
    place = cli.Home(tmp_path_factory.mktemp("up"))
    # The embedded family is served besides, and what is given here has its name; so a platform of this one alone.
    said = place.rise("up", "--only", "--family", str(place.family), "--json")
    try:
        up = said.json()
        assert up["families"] == ["rise-shapes"]
        assert up["url"].startswith("nats://127.0.0.1:")
        assert "token" not in said.out
        yield place
    finally:
        down = place.rise("down")
    assert down.code == 0, down.err
    place.assert_clean()
    assert not (place.state / "platform.json").exists()


def submitted(home: cli.Home, *arguments: str) -> str:
    said = home.rise("submit", *arguments)
    assert said.code == 0, said.err
    return said.out.strip()


def test_a_job_is_submitted_watched_and_fetched(home: cli.Home) -> None:
    job = submitted(home, PROMPT, "--seed", "7", "--fixed", ARM)
    assert job.startswith("picture-")
    watched = home.rise("watch", job, "--json")
    assert watched.code == 0, watched.err
    kinds = [json.loads(line)["kind"] for line in watched.out.splitlines()]
    assert kinds[-1] == "job-done"
    report = home.rise("result", job, "--out", str(home.out), "--json").json()
    assert report["runs"][0]["pictures"][0]["verdict"]["ok"] is True
    assert home.rise("result", "--out", str(home.out), "--json").json()["runs"][0]["job"] == job  # the newest
    shown = home.rise("get", job, "--json").json()
    assert shown["state"] == "Complete"
    told = home.rise("explain", job)
    assert "decision" in told.out
    assert "outcome" in told.out
    (listed,) = [row for row in home.rise("get", "--json").json() if row["request"]["job_id"] == job]
    assert listed["attempt"] == 1


def test_a_submitted_job_keeps_its_handoff_and_its_preview_for_whoever_fetches_it(home: cli.Home) -> None:
    job = submitted(home, PROMPT, "--fixed", ARM, "--preview")
    report = home.rise("result", job, "--wait", "--out", str(home.out), "--json").json()
    (handoff,) = report["runs"][0]["handoffs"]
    assert (handoff["sigma"], handoff["preview"]) == (1.2, str(home.out / f"{job}-handoff.png"))
    assert (home.out / f"{job}-handoff.png").is_file()


def settlement(home: cli.Home, job: str) -> object:
    """How the scheduler has settled the job's decision, once that is final."""
    settled = None
    for _ in range(30):  # it learns when it gets to it
        settled = home.rise("explain", job, "--json").json()["decision"]["settlement"]
        if settled is not None and settled["final"]:
            break
    return settled


def test_the_judges_word_reaches_the_scheduler(home: cli.Home) -> None:
    report = home.run(PROMPT, "--json").json()
    assert report["runs"][0]["policy"] == "composed"
    assert settlement(home, report["runs"][0]["job"]) == {"quality": 1.0, "final": True}


def test_a_picture_that_nobody_waits_for_is_judged_too(home: cli.Home) -> None:
    job = submitted(home, PROMPT)
    assert settlement(home, job) == {"quality": 1.0, "final": True}


def test_what_a_user_does_with_a_picture_reaches_the_scheduler(home: cli.Home) -> None:
    """Of prompts that no program can judge."""
    kept = submitted(home, "the feeling of a sunday afternoon", "--seed", "7")
    assert home.rise("watch", kept).code == 0
    said = home.rise("keep", kept)
    assert (said.code, said.out.strip()) == (0, f"{kept}: kept"), said.err
    assert settlement(home, kept) == {"quality": 1.0, "final": True}
    again = home.rise("regenerate", kept, "--json").json()
    assert again["request"]["job_id"] != kept
    assert again["request"]["seed"] != 7
    assert again["request"]["spec"]["prompt"] == "the feeling of a sunday afternoon"
    assert settlement(home, kept) == {"quality": 1.0, "final": True}, "the first word counts"


def test_the_policy_is_shown_and_its_decisions_are_drawn(home: cli.Home) -> None:
    job = home.run(PROMPT, "--json").json()["runs"][0]["job"]
    told = home.rise("policy", "--json").json()
    (family,) = told["families"]
    assert (told["policy"], family["family"]) == ("composed", "rise-shapes")
    assert family["chosen"] in [arm["seen"]["arm"] for arm in family["arms"]]
    png = home.folder / "plots" / "policy.png"
    said = home.rise("policy", "--png", str(png))
    assert said.code == 0, said.err
    assert f"plot     {png}" in said.out
    assert png.read_bytes().startswith(b"\x89PNG")
    why = home.rise("explain", job).out
    assert "the highest score" in why or "no other arm" in why
    assert "STAGES" in why
    wrong = home.rise("policy", "--family", "rise-shape")
    assert (wrong.code, "did you mean 'rise-shapes'" in wrong.one_line()) == (2, True)


def test_a_run_uses_the_platform_that_is_up(home: cli.Home) -> None:
    report = home.run(PROMPT, "--seed", "7", "--fixed", ARM, "--json").json()
    assert len(report["runs"]) == 1  # the large member is not timed on a platform that others use
    jobs = [row["request"]["job_id"] for row in home.rise("get", "--json").json()]
    assert report["runs"][0]["job"] in jobs


def test_the_workers_are_listed(home: cli.Home) -> None:
    workers = home.rise("get", "--workers", "--json").json()
    assert sorted(beat["worker"] for beat in workers) == ["device-1", "edge-1"]
    assert "edge-1" in home.rise("get", "--workers").out


def test_one_key_is_one_job(home: cli.Home) -> None:
    first = submitted(home, PROMPT, "--key", "k1", "--seed", "1")
    assert submitted(home, PROMPT, "--key", "k1", "--seed", "1") == first
    said = home.rise("submit", "a red circle", "--key", "k1", "--seed", "1")
    assert said.code == 2
    assert f"job {first} has this key and a different spec" in said.one_line()


def test_a_running_job_is_cancelled(home: cli.Home) -> None:
    hold = home.folder / "hold"
    hold.touch()
    try:
        job = submitted(home, PROMPT, "--fixed", "small:5")
        home.wait_for("held-device-1")
        assert home.rise("cancel", job).out.strip() == f"{job}: Cancelled"
        said = home.rise("result", job)
        assert (said.code, said.one_line()) == (5, f"rise: job {job} was cancelled")
        assert home.rise("watch", job).code == 5
    finally:
        hold.unlink()
    assert home.rise("cancel", job, "--json").json()["state"] == "Cancelled"


def test_a_killed_worker_is_started_again(home: cli.Home) -> None:
    (before,) = [p for p in home.processes() if "device-1" in p.cmdline()]
    before.kill()
    job = submitted(home, PROMPT, "--fixed", ARM)
    assert home.rise("result", job, "--wait", "--out", str(home.out)).code == 0
    (after,) = [p for p in home.processes() if "device-1" in p.cmdline()]
    assert after.pid != before.pid


BAD = {
    "an unknown job": (("get", "nothing-like-it"), 3, "job 'nothing-like-it' does not exist"),
    "an unknown family": (("submit", "x", "--family", "rise-shaeps"), 2, "did you mean 'rise-shapes'?"),
    "an unknown member": (("submit", "x", "--fixed", "lagre"), 2, "did you mean 'large'?"),
    "a second platform": (("up",), 6, "a platform is up already"),
    "a wait that is too short": (("watch", "PENDING", "--timeout", "0.3"), 6, "did not happen within 0.3 s"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_done_is_told(case: str, home: cli.Home) -> None:
    arguments, code, want = BAD[case]
    hold = home.folder / "hold"
    if "PENDING" in arguments:
        hold.touch()
        job = submitted(home, PROMPT)
        arguments = tuple(job if word == "PENDING" else word for word in arguments)
    try:
        said = home.rise(*arguments)
    finally:
        hold.unlink(missing_ok=True)
    assert said.code == code, said.err
    assert want in said.one_line()


def test_a_start_that_is_stopped_leaves_no_platform(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = cli.Home(tmp_path_factory.mktemp("stopped"))
    process = place.start("up", "--only", "--family", str(place.family))
    place.wait_for("state/rise-run-*/nats.conf")
    process.send_signal(signal.SIGINT)
    said = cli.ended(process)
    assert (said.code, said.one_line()) == (130, "rise: stopped by Ctrl-C")
    place.assert_clean()
    assert place.rise("get").one_line() == "rise: no platform is up; start one with: rise up"
    assert not list(place.state.glob("rise-run-*"))


def test_a_dead_platform_is_seen_through(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = cli.Home(tmp_path_factory.mktemp("dead"))
    up = place.rise("up", "--only", "--family", str(place.family), "--json").json()
    holder = psutil.Process(up["pid"])
    children = holder.children(recursive=True)
    os.kill(holder.pid, signal.SIGKILL)
    _, left = psutil.wait_procs([holder, *children], timeout=60)
    assert not left
    said = place.rise("get")
    assert (said.code, said.one_line()) == (
        7,
        "rise: no platform is up; start one with: rise up",
    )
    assert not (place.state / "platform.json").exists()


def test_a_foreground_platform_stops_by_ctrl_c(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = cli.Home(tmp_path_factory.mktemp("foreground"))
    process = place.start("up", "--foreground", "--only", "--family", str(place.family))
    place.wait_for("state/platform.json")
    process.send_signal(signal.SIGINT)
    said = cli.ended(process)
    assert said.code == 130
    assert "ready in" in said.err
    place.assert_clean()
    assert not (place.state / "platform.json").exists()


def test_a_port_in_use_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = cli.Home(tmp_path_factory.mktemp("port"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = place.rise("up", "--port", str(taken.getsockname()[1]))
    assert said.code == 2
    assert "--port: wanted a free port" in said.one_line()
    place.assert_clean()


def test_a_job_survives_down_and_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    place = cli.Home(tmp_path_factory.mktemp("again"))
    up = ("up", "--only", "--family", str(place.family))
    assert place.rise(*up).code == 0
    (place.folder / "hold").touch()
    job = submitted(place, PROMPT, "--fixed", ARM, "--seed", "3")
    place.wait_for("held-edge-1")
    assert place.rise("down").code == 0
    place.assert_clean()
    (place.folder / "hold").unlink()
    began = time.time()
    assert place.rise(*up).code == 0
    try:
        assert place.rise("result", job, "--wait", "--out", str(place.out)).code == 0
        record = place.rise("get", job, "--json").json()
        assert record["request"]["accepted_at"] < began < record["finished_at"]
    finally:
        assert place.rise("down").code == 0
