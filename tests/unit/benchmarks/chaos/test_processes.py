"""What a world is made of, and a process whose clock is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks._idle_stage import stepped
from benchmarks.chaos.world import Makeup

ROOT = Path(__file__).parents[4]


def test_workers_have_names_and_tiers() -> None:
    assert Makeup(edge=2, device=1).workers == {"edge-1": "edge", "edge-2": "edge", "device-1": "device"}


@pytest.mark.parametrize("seconds", [300.0, -300.0])
def test_a_wrong_clock_is_wrong_for_the_calendar_alone(seconds: float, tmp_path: Path) -> None:
    (tmp_path / "clocks.py").write_text(
        "import json, sys, time\n"
        "print(json.dumps([time.time(), time.time_ns() / 1e9, time.monotonic(), sys.argv[1:]]))\n"
    )
    command = (sys.executable, "-m", "benchmarks.chaos.skewed", f"{seconds:g}", "clocks", "--flag", "value")
    path = f"{ROOT}:{tmp_path}"
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": path}, cwd=tmp_path)
    plain = subprocess.run(
        (sys.executable, "clocks.py"), capture_output=True, text=True, check=True, env={}, cwd=tmp_path
    )
    (wrong, wrong_ns, ran, rest), (right, _, ran_after, _) = json.loads(done.stdout), json.loads(plain.stdout)
    assert wrong - right == pytest.approx(seconds, abs=30.0)
    assert wrong_ns == pytest.approx(wrong, abs=1.0)
    assert 0 <= ran_after - ran < 30.0
    assert rest == ["--flag", "value"]


def test_a_light_step_left_out_made_twice_or_in_another_order_is_seen() -> None:
    start = bytes(64)

    def after(*steps: int) -> bytes:
        state = start
        for step in steps:
            state = stepped(state, step)
        return state

    states = {after(0, 1, 2), after(0, 2), after(0, 1, 1, 2), after(1, 0, 2), after(0, 1)}
    assert len(states) == 5
    assert after(0, 1, 2) == after(0, 1, 2)
    assert after(0)[32:] == start[32:]
