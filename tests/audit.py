"""What is known against the locked packages: `python -m tests.audit` asks the database of PyPI, by pip-audit.

It fails where a package has a known vulnerability and a version without it. One that has none yet is named and does not
fail: nobody could do anything about it. Where the database cannot be reached, a line says that nothing was checked.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.locks import ROOT

LOCK = ROOT / "requirements" / "dev.txt"
"""It holds what all the others hold."""
SECONDS = 120.0
COMMAND = ("--require-hashes", "--disable-pip", "--progress-spinner=off", "--timeout=10", "--format=json")


@dataclass(frozen=True)
class Verdict:
    """What to print, and whether it is a failure."""

    lines: tuple[str, ...]
    failed: bool = False


def judged(report: Mapping[str, Any]) -> Verdict:
    """The verdict on pip-audit's report."""
    packages: Sequence[Mapping[str, Any]] = report["dependencies"]
    checked = [each for each in packages if "skip_reason" not in each]
    if not checked:
        why = packages[0]["skip_reason"] if packages else "there is no package"
        return Verdict((f"audit: not checked: no package is in the database that answers ({why})",))
    lines, failed = [], False
    for package in checked:
        for known in package["vulns"]:
            mended = ", ".join(known["fix_versions"])
            failed = failed or bool(mended)
            hint = f"mended in {mended}: make lock UPGRADE=1" if mended else "not mended yet"
            lines.append(f"audit: {package['name']} {package['version']}: {known['id']}; {hint}")
    skipped = len(packages) - len(checked)
    more = f", {skipped} not in the database" if skipped else ""
    return Verdict((*lines, f"audit: {len(checked)} packages checked{more}"), failed)


def main() -> int:
    """Ask, print, and give the exit code."""
    command = [sys.executable, "-m", "pip_audit", *COMMAND, "--requirement", str(LOCK)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
        verdict = judged(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        verdict = Verdict((f"audit: not checked: no answer within {SECONDS:g} s",))
    except ValueError:
        said = done.stderr.strip().splitlines()
        verdict = Verdict((f"audit: not checked: {said[-1][:300] if said else 'pip-audit said nothing'}",))
    sys.stdout.write("".join(f"{line}\n" for line in verdict.lines))
    return int(verdict.failed)


if __name__ == "__main__":
    raise SystemExit(main())
