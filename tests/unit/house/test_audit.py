"""The verdict on what pip-audit reports, and the list of what is in an image."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from tests import audit, locks


def package(name: str, *vulnerabilities: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1.0", "vulns": list(vulnerabilities)}


def known(identity: str, *mended: str) -> dict[str, Any]:
    return {"id": identity, "fix_versions": list(mended), "aliases": [], "description": ""}


OPTIONS = ("--output-reproducible", "--no-validate")
SKIPPED = {"name": "here", "skip_reason": "Dependency not found on PyPI"}


def test_nothing_known_is_no_failure() -> None:
    verdict = audit.judged({"dependencies": [package("a"), package("b"), SKIPPED]})
    assert verdict == audit.Verdict(("audit: 2 packages checked, 1 not in the database",))


def test_what_is_mended_elsewhere_is_a_failure_with_the_way_out() -> None:
    verdict = audit.judged({"dependencies": [package("a", known("PYSEC-1", "1.1", "2.0"))]})
    assert verdict.failed
    assert verdict.lines[0] == "audit: a 1.0: PYSEC-1; mended in 1.1, 2.0: make lock UPGRADE=1"


def test_what_nobody_has_mended_is_told_and_no_failure() -> None:
    verdict = audit.judged({"dependencies": [package("a", known("PYSEC-2"))]})
    assert not verdict.failed and "PYSEC-2; not mended yet" in verdict.lines[0]


@pytest.mark.parametrize("dependencies", [[], [SKIPPED]])
def test_a_database_that_knows_none_has_checked_none(dependencies: list[Any]) -> None:
    verdict = audit.judged({"dependencies": dependencies})
    assert not verdict.failed and verdict.lines[0].startswith("audit: not checked: ")


def test_where_no_database_can_be_reached_a_line_says_so(tmp_path: Path) -> None:
    dead = {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.audit"], cwd=locks.ROOT, env=dead, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("audit: not checked: ")


def test_the_bill_of_an_image_lists_what_is_locked_for_it(tmp_path: Path) -> None:
    lock, written = locks.ROOT / "requirements" / "scheduler.txt", tmp_path / "sbom.json"
    tool = Path(sysconfig.get_path("scripts")) / "cyclonedx-py"
    command = [str(each) for each in (tool, "requirements", lock, *OPTIONS, "--output-file", written)]
    subprocess.run(command, check=True, capture_output=True)
    bill = json.loads(written.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    listed = {(each["name"], each["version"]) for each in bill["components"]}
    assert listed == {(pin.name, str(pin.version)) for pin in locks.pins(lock.read_text())}
    assert all(each["externalReferences"][0]["hashes"] for each in bill["components"])
