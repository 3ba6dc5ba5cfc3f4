"""Everything that can be wrong with what a person gives: one line, an exit code, no traceback, nothing begun."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rise_cli.app import call
from rise_cli.local import state
from tests.bus import cli
from tests.servers import Server

JOB = """apiVersion: rise-relay.io/v1alpha1
kind: RelayJob
metadata: {name: two-shapes}
spec:
  prompt: a red circle
"""

FILES = {
    "family.yaml": cli.FAMILY,
    "job.yaml": JOB,
    "broken.yaml": JOB + "  relay: {mode: [\n",
    "field.yaml": JOB + "  sede: 7\n",
    "range.yaml": JOB + "  steps: 900\n",
    "kind.yaml": JOB.replace("RelayJob", "RelayJbo"),
    "family-name.yaml": JOB + "  family: rise-shaeps\n",
    "handoff.yaml": JOB + "  relay: {mode: Fixed, stages: [{member: large, steps: 3, untilSigma: 9}, "
    "{member: finisher, steps: 3}]}\n",
    "list.yaml": "- 1\n",
    "empty.yaml": "",
    "no-folder.yaml": cli.FAMILY.replace("path: .", "path: ./missing"),
    "wrong-family.yaml": cli.FAMILY.replace("defaultSteps", "defaultStep"),
}

WITH = ("--family", "family.yaml")

UP = ("up", "--judge")

TABLE: dict[str, tuple[tuple[str, ...], int, str]] = {
    "an empty prompt": (("run", "", *WITH), 2, "prompt: wanted some words"),
    "an over-long prompt": (("run", "a " * 600, *WITH), 2, "prompt: wanted at most 1000 characters, got 1200"),
    "no prompt": (("run", *WITH), 2, "prompt: wanted a prompt or -f FILE"),
    "a prompt twice": (("run", "x", "-f", "job.yaml", *WITH), 2, "prompt: wanted a prompt or -f FILE, got 'both'"),
    "an unknown member": (("run", "x", "--fixed", "lagre@1.2+small", *WITH), 2, "did you mean 'large'?"),
    "steps out of range": (("run", "x", "--steps", "900", *WITH), 2, "--steps: wanted at most 200"),
    "steps that are no number": (("run", "x", "--steps", "many", *WITH), 2, "'--steps': wanted a valid integer"),
    "a scorer without weights": ((*UP, "clipscore"), 2, "judge: wanted NAME:FOLDER, or NAME:OWNER/REPOSITORY"),
    "a scorer's name mistyped": ((*UP, "clipscor:./x"), 2, "did you mean 'clipscore'?"),
    "a scorer's folder that is not there": (
        (*UP, "clipscore:./x"),
        3,
        "put the scorer's weights there",
    ),
    "a scorer's range upside down": (
        ("up", "--judge-range", "3", "1"),
        2,
        "--judge-range: wanted two numbers",
    ),
    "a size out of range": (("run", "x", "--size", "7", *WITH), 2, "--size: wanted a multiple of 8, got 7"),
    "a handoff out of range": (("run", "x", "--fixed", "large@9+finisher", *WITH), 2, "from sigma 2.5 at most"),
    "a handoff out of range in a file": (("run", "-f", "handoff.yaml", *WITH), 2, "from sigma 2.5 at most"),
    "a handoff above all noise": (("run", "x", "--fixed", "large@99+small", *WITH), 2, "a handoff below sigma 14.62"),
    "a handoff that is missing": (("run", "x", "--fixed", "large+small", *WITH), 2, "last, got 'large+small'"),
    "a size far from the family's": (("run", "x", "--size", "4096", *WITH), 2, "at most 256 pixels a side"),
    "a family's name mistyped": (("run", "x", "--family", "rise-shaeps"), 2, "did you mean 'rise-shapes'?"),
    "a prompt without quotes": (("run", "a", "red", "circle"), 2, "goes into quotes; see rise run --help"),
    "an empty key": (("run", "x", "--key", "", *WITH), 2, "--key: wanted at least 1 character(s), got ''"),
    "a mistyped preference": (("run", "x", "--preference", "qualty", *WITH), 2, "did you mean 'quality'?"),
    "invalid YAML": (("run", "-f", "broken.yaml", *WITH), 2, "broken.yaml:7:1: wanted valid YAML"),
    "an unknown field": (("run", "-f", "field.yaml", *WITH), 2, "field.yaml:6:3: spec.sede: wanted a known field, "),
    "a field out of range": (("run", "-f", "range.yaml", *WITH), 2, "range.yaml:6:10: spec.steps: wanted at most 200"),
    "an unknown kind": (("run", "-f", "kind.yaml", *WITH), 2, "did you mean 'RelayJob'?"),
    "an unknown family": (("run", "-f", "family-name.yaml"), 2, "did you mean 'rise-shapes'?"),
    "a list for a resource": (("run", "-f", "list.yaml", *WITH), 2, "list.yaml:1:1: wanted a resource"),
    "an empty file": (("run", "-f", "empty.yaml", *WITH), 2, "at least one resource"),
    "a missing file": (("run", "-f", "missing.yaml", *WITH), 3, "file 'missing.yaml' does not exist; check the path"),
    "a folder as a file": (("run", "-f", ".", *WITH), 2, "a file that can be read"),
    "a picture as a file": (("run", "-f", "picture.png", *WITH), 2, "text in UTF-8"),
    "a job as a family": (("run", "x", "--family", "job.yaml"), 2, "exactly one ModelFamily"),
    "a family without its folder": (("run", "x", "--family", "no-folder.yaml"), 3, "put a diffusers model there"),
    "a family with a mistyped field": (
        ("run", "x", "--family", "wrong-family.yaml"),
        2,
        "did you mean 'defaultSteps'?",
    ),
    "an output folder that is a file": (("run", "x", "--out", "job.yaml", *WITH), 9, "choose another folder"),
    "a read-only output folder": (("run", "x", "--out", "/proc/rise", *WITH), 9, "cannot write /proc/rise"),
    "a NATS that is away": (("run", "x", "--nats", "nats://127.0.0.1:9", *WITH), 7, "nobody answers"),
    "no platform": (("get",), 7, "no platform is up; start one with: rise up"),
    "nothing to stop": (("down",), 7, "rise: no platform is up; start one with: rise up"),
    "an unknown command": (("rnu",), 2, "rise: no such command 'rnu'; did you mean 'run'?"),
    "an unknown option": (("run", "x", "--sede", "1"), 2, "no such option --sede; did you mean --seed?"),
    "an unknown policy": (("up", "--policy", "linucd"), 2, "did you mean 'linucb'?"),
    "an unknown benchmark": (("bench", "relai"), 2, "did you mean 'relay'?"),
    "a timeout of nought": (("run", "x", "--timeout", "0", *WITH), 2, "--timeout"),
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\xfe")
    for variable in [name for name in os.environ if name.startswith("RISE_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv(state.VARIABLE, str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert lines[-1].startswith("rise: ")
    assert len([line for line in lines if line.startswith("rise: ")]) == 1
    return lines[-1]


@pytest.mark.parametrize("case", TABLE)
def test_bad_input_is_one_line(case: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, code, want = TABLE[case]
    assert call(arguments) == code
    assert want in one_line(capsys)
    assert not list(place.glob("out/*"))


def test_a_wrong_token_is_told(
    nats_server: Server, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RISE_NATS_TOKEN", "wrong")
    assert call(("get", "--nats", nats_server.url)) == 7
    assert "does not accept this token" in one_line(capsys)


def test_a_server_without_jetstream_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server(place, jetstream=False)
    server.start()
    try:
        monkeypatch.setenv("RISE_NATS_TOKEN", server.token)
        assert call(("get", "--nats", server.url)) == 7
        assert "wanted JetStream" in one_line(capsys)
    finally:
        server.stop()


def test_an_old_server_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=speak_as_an_old_server, args=(listening,), daemon=True).start()
        assert call(("get", "--nats", f"nats://127.0.0.1:{listening.getsockname()[1]}")) == 7
    assert "wanted server 2.10 or newer, got 2.2.6; upgrade it" in one_line(capsys)


def speak_as_an_old_server(listening: socket.socket) -> None:
    """The NATS protocol, as far as a client needs it to ask for the version."""
    connection, _ = listening.accept()
    with connection, connection.makefile("rb") as lines:
        info = '{"server_id":"old","version":"2.2.6","go":"go1","host":"127.0.0.1","port":1,"max_payload":1048576}'
        connection.sendall(f"INFO {info}\r\n".encode())
        for line in lines:
            if line.startswith(b"PING"):
                connection.sendall(b"PONG\r\n")


def test_a_state_folder_that_cannot_be_written_is_told(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(state.VARIABLE, "/proc/rise")
    assert call(("up",)) == 9
    assert "$RISE_STATE_DIR sets another" in one_line(capsys)


def test_no_room_for_the_picture_is_told_before_anything_starts(place: Path) -> None:
    code = (
        "import resource, signal, sys; from rise_cli.app import call\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))\n"
        "sys.exit(call(sys.argv[1:]))"
    )
    command = (sys.executable, "-c", code, "run", "a red circle", *WITH)
    said = subprocess.run(command, capture_output=True, text=True, cwd=place, check=False)
    assert said.returncode == 9
    assert said.stderr.count("rise: cannot write out: File too large") == 1
    assert "starting" not in said.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1024
    assert signal.getsignal(signal.SIGXFSZ) is not None


def test_a_reader_that_has_seen_enough_is_no_error(place: Path) -> None:
    command = f"{sys.executable} -m rise_cli run --help | true; echo ${{PIPESTATUS[0]}}"
    said = subprocess.run(("bash", "-c", command), capture_output=True, text=True, check=False)
    assert said.stdout.splitlines()[-1] in ("0", "1")
    assert "Traceback" not in said.stderr
    assert "Broken" not in said.stderr
