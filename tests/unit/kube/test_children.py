"""The servers of a test say why they did not start, and do not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kube.children import Child, DidNotStart, free_ports
from tests.kube.kubectl import TookTooLong, until
from tests.locks import ROOT

HOLDER = """\
import sys, time
from pathlib import Path
from tests.kube.children import Child
sleep = "import time; print('up', flush=True); time.sleep(600)"
child = Child("sleeper", [sys.executable, "-c", sleep], Path(sys.argv[1]))
child.start()
child.wait_until(lambda: "up" in child.tail(), 30, "be up")
print(child.pid, flush=True)
time.sleep(600)
"""


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_server_that_ends_at_once_shows_its_last_lines(tmp_path: Path) -> None:
    child = Child("server", [sys.executable, "-c", "raise SystemExit('no such flag')"], tmp_path / "log")
    child.start()
    with pytest.raises(DidNotStart, match=r"wanted server to listen, but it ended:\nno such flag"):
        child.wait_until(lambda: False, 30, "listen")
    child.kill()


def test_a_server_that_stays_silent_is_given_up(tmp_path: Path) -> None:
    child = Child("server", ["sleep", "600"], tmp_path / "log")
    child.start()
    with pytest.raises(DidNotStart, match=r"wanted server to listen within 0\.1 s, it did not"):
        child.wait_until(lambda: False, 0.1, "listen")
    child.kill()
    assert not child.running


def test_a_server_that_is_held_still_can_be_killed(tmp_path: Path) -> None:
    child = Child("server", ["sleep", "600"], tmp_path / "log")
    child.start()
    child.signal(signal.SIGSTOP)
    child.terminate(grace=0.1)
    assert gone(child.pid)


def test_a_server_goes_with_a_run_that_was_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "log")], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    pid = int(holder.stdout.readline())
    assert not gone(pid)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    until(lambda: gone(pid), bool, 10, "the end of the server")


def test_free_ports_are_different_ones() -> None:
    assert len(set(free_ports(20))) == 20


def test_a_wait_in_vain_shows_what_was_seen_last() -> None:
    with pytest.raises(TookTooLong, match=r'the sum: waited 0\.1 s in vain; last seen:\n\{\n "sum": 3'):
        until(lambda: {"sum": 3}, lambda seen: seen["sum"] > 3, 0.1, "the sum")
