"""The way in: make's targets explain themselves, and a set-up that cannot be says why in one line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.locks import ROOT

TARGETS = {"help", "setup", "run", "test", "check", "bench", "train", "lock", "clean"}

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not on PATH")


def sh(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What the set-up reads of a clone, without an environment yet."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


@needs_make
def test_make_alone_lists_every_target_with_what_it_does(clone: Path) -> None:
    done = sh("make", cwd=clone, RISE_CACHE=str(clone / "cache"))
    listed = dict(re.findall(r"^  make (\S+) +(\S.*)$", done.stdout, re.MULTILINE))
    assert set(listed) >= TARGETS
    phony = re.search(r"^\.PHONY: (.*)$", (clone / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == set(listed)


def test_the_set_up_names_the_python_it_wants(clone: Path) -> None:
    done = sh("requirements/setup", cwd=clone, PYTHON="false", RISE_CACHE=str(clone / "cache"))
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "wanted Python >= 3.11, found none as false" in done.stderr
    assert not (clone / ".venv").exists()


def test_the_ci_script_requires_every_ring_and_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "unit,bus,model" in script.read_text()
    assert "make check test" in script.read_text()
