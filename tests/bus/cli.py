"""The command as a person has it: a process, with folders of its own and workers without models."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]
PATIENCE = 600.0

FAMILY = """
apiVersion: rise-relay.io/v1alpha1
kind: ModelFamily
metadata: {name: rise-shapes}
spec:
  base: {path: .}
  members:
    - {name: large, parameters: 1000, defaultSteps: 20, tier: edge}
    - {name: small, parameters: 100, defaultSteps: 20, tier: device}
    - {name: finisher, parameters: 100, defaultSteps: 10, tier: device, sigmaMax: 2.5}
  handoffs: [2.0, 1.2]
  relays:
    - {name: one, stages: [{member: large, steps: 3, untilSigma: 1.2}, {member: finisher, steps: 3}]}
  defaultSize: 64
"""


@dataclass(frozen=True)
class Said:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    def one_line(self) -> str:
        """The error, which must be one line and no traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("rise: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0]


class Home:
    """A place where commands run: folders, environment, and a way to see what they leave behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary, self.state, self.out = folder / "tmp", folder / "state", folder / "out"
        self.temporary.mkdir(parents=True)
        self.family = folder / "family.yaml"
        self.family.write_text(FAMILY)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RISE_")},
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "PYTHONWARNINGS": "default",
            "TMPDIR": str(self.temporary),
            "RISE_STATE_DIR": str(self.state),
            "RISE_TEST_FOLDER": str(folder),
            "RISE_WORKER_COMMAND": f"{sys.executable} -m tests.bus.cli_stage",
            "COLUMNS": "200",
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            (sys.executable, "-m", "rise_cli", *arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def rise(self, *arguments: str) -> Said:
        return ended(self.start(*arguments))

    def run(self, *arguments: str) -> Said:
        """`rise run` with this home's family and folders."""
        return self.rise(*self.run_arguments(*arguments))

    def run_arguments(self, *arguments: str) -> tuple[str, ...]:
        return ("run", *arguments, "--family", str(self.family), "--out", str(self.out))

    def processes(self) -> list[psutil.Process]:
        """Every process that was started here and is still there: they all inherit this home's environment."""
        return list(_with_environment("RISE_TEST_FOLDER", str(self.folder)))

    def assert_clean(self) -> None:
        """No process and no temporary file is left."""
        _, left = psutil.wait_procs(self.processes(), timeout=30)
        assert not left
        assert list(self.temporary.iterdir()) == []

    def wait_for(self, pattern: str) -> Path:
        """Until a file of this name is there."""
        give_up = time.monotonic() + PATIENCE
        while not (found := sorted(self.folder.glob(pattern))):
            assert time.monotonic() < give_up, f"no {pattern}"
            time.sleep(0.02)
        return found[0]


def ended(process: subprocess.Popen[str]) -> Said:
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
        raise AssertionError(f"not done within {PATIENCE} s:\n{out}\n{err}") from None
    return Said(process.returncode, out, err)


def _with_environment(key: str, value: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(key) == value and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:
            continue
