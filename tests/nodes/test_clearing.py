"""What a killed run leaves is found and cleared by the next.

This file comes before those that use the ground, which holds the premises until the run ends.
"""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.kube import premises
from tests.locks import ROOT


def test_the_next_run_clears_what_a_killed_one_has_left() -> None:
    command = [sys.executable, "-m", "tests.nodes.killed"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        try:
            assert run.stdout.readline().strip() == "running"
        finally:
            run.send_signal(signal.SIGKILL)
    left = premises.remains()
    for kind in ("process", "mount", "control group", "network", "folder"):
        assert any(each.startswith(kind) for each in left), (kind, left)
    groups = premises.cgroups()
    with premises.premises() as folder:
        assert list(folder.iterdir()) == []
    assert premises.remains() == []
    assert [group for group in groups if group.exists()] == []
