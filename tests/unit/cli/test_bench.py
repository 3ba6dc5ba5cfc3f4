"""Benchmarks are found in a checkout and get what follows their name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rise_cli.app import call
from rise_cli.commands import bench
from rise_contracts import errors

BENCHMARK = """
import json
from pathlib import Path

def main(argv):
    Path("seen.json").write_text(json.dumps(argv))
    return 5
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (folder / "relay.py").write_text(BENCHMARK)
    (folder / "_tables.py").write_text(BENCHMARK)
    (folder / "notes.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_only_modules_with_a_main_are_benchmarks(checkout: Path) -> None:
    assert bench.names(checkout) == ["relay"]


def test_options_after_the_name_are_passed_on_and_the_exit_code_comes_back(checkout: Path) -> None:
    assert call(["bench", "relay", "--json", "out.json", "-n", "3", "--help"]) == 5
    assert json.loads((checkout / "seen.json").read_text()) == ["--json", "out.json", "-n", "3", "--help"]


def test_without_a_name_they_are_listed(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench"]) == 0
    assert capsys.readouterr().out == "relay\n"


def test_a_mistyped_one_is_told(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["bench", "realy"]) == 2
    assert "did you mean 'relay'?" in capsys.readouterr().err


def test_a_folder_inside_a_checkout_is_in_it(checkout: Path) -> None:
    inner = checkout / "out" / "deep"
    assert bench.find_checkout((inner, *inner.parents)) == checkout
    with pytest.raises(errors.NotFound):
        bench.find_checkout((Path("/proc"),))
