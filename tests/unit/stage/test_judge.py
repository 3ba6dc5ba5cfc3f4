"""The judge is a small process."""

from __future__ import annotations

import subprocess
import sys


def test_judging_needs_no_model() -> None:
    code = "import sys, rise_stage.judge; print([name for name in ('torch', 'diffusers') if name in sys.modules])"
    said = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["[]"]
