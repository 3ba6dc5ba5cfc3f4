"""The command line as a whole: its help, its completion, its speed, its seam for errors."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rise_cli import app as cli
from rise_contracts import errors

COMMANDS = ("run", "up", "down", "submit", "get", "watch", "result", "cancel", "explain", "policy", "doctor", "bench")


def test_every_command_is_there_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in COMMANDS)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "bench"])
def test_every_option_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call([name, "--help"]) == 0
    assert "Usage: rise " + name in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["get", "submit", "run", "up", "down", "watch", "result", "cancel", "explain", "policy", "doctor"]
)
def test_every_command_that_answers_can_answer_in_json(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call([name, "-h"]) == 0
    assert "--json" in capsys.readouterr().out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("rise ")


def test_no_command_shows_the_help_and_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.call([]) == 0
    assert "Usage: rise" in capsys.readouterr().out


def test_the_shell_completes_commands_and_options() -> None:
    environment = {**os.environ, "_RISE_COMPLETE": "complete_bash", "COMP_WORDS": "rise ru", "COMP_CWORD": "1"}
    command = (sys.executable, "-c", "import sys; sys.argv[0] = 'rise'; from rise_cli.__main__ import main; main()")
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.stdout.split() == ["run"], said.stderr


def test_answering_needs_no_model_and_no_bus() -> None:
    code = (
        "import sys; from rise_cli.app import call; call(['--help']); call(['run', '--help']);"
        "print([name for name in ('torch', 'nats', 'numpy', 'PIL', 'rise_runtime', 'psutil') if name in sys.modules])"
    )
    said = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[-1] == "[]"


def test_the_documented_exit_codes_are_those_of_the_errors() -> None:
    documented = {int(line.split()[0]) for line in (cli.__doc__ or "").splitlines() if line[:1].isdigit()}
    assert set(errors.EXIT_CODES.values()) <= documented
    assert {0, cli.BUG, 130} <= documented


def test_a_bug_is_one_line_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RISE_DEBUG", raising=False)
    assert cli._unforeseen(ZeroDivisionError("division by zero")) == cli.BUG
    assert capsys.readouterr().err == (
        "rise: a bug: ZeroDivisionError: division by zero; please report it, with the output of RISE_DEBUG=1\n"
    )
