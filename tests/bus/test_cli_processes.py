"""Children that never outlive their parent, with real processes that really are killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from rise_cli.local import processes, scratch, state
from rise_cli.local.processes import Program
from rise_cli.local.supervisor import Supervisor
from rise_contracts import errors

PATIENCE = 60.0

SLEEPER = "import sys, time; print('up', flush=True); time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
PARENT = """
import asyncio, sys
from pathlib import Path
from rise_cli.local import processes

async def main():
    program = processes.Program("child", (sys.executable, "-c", sys.argv[3]), Path(sys.argv[2]))
    child = await processes.start(program, sys.argv[1])
    await until(lambda: "up" in program.log.read_text())
    found = __import__("psutil").Process(child.pid)
    print(*[found.pid, *(p.pid for p in found.children(recursive=True))], flush=True)
    await asyncio.Event().wait()

async def until(true):
    while not true():
        await asyncio.sleep(0.01)

asyncio.run(main())
"""


def program(tmp_path: Path, code: str, name: str = "child", *, last: bool = False, needed: bool = True) -> Program:
    return Program(name, (sys.executable, "-c", code), tmp_path / f"{name}.log", last=last, needed=needed)


async def said(file: Path, word: str, times: int = 1) -> None:
    """Until a program has written `word`."""

    def look() -> None:
        give_up = time.monotonic() + PATIENCE
        while not file.exists() or file.read_text().count(word) < times:
            assert time.monotonic() < give_up, f"{file} never said {word!r}"
            threading.Event().wait(0.01)

    await asyncio.to_thread(look)


@pytest.mark.parametrize("mode", ["exec", "watch"])
def test_children_die_with_a_parent_that_is_killed(mode: str, tmp_path: Path) -> None:
    if mode == "exec" and sys.platform != "linux":
        pytest.skip("the kernel's parent-death signal is Linux's")
    command = (sys.executable, "-c", PARENT, mode, str(tmp_path / "log"), SLEEPER)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(children) == (1 if mode == "exec" else 2)
        parent.send_signal(signal.SIGKILL)
        gone, alive = psutil.wait_procs(children, timeout=PATIENCE)
    assert not alive
    assert len(gone) == len(children)


@pytest.mark.parametrize("mode", ["exec", "watch"])
async def test_stop_asks_first(mode: str, tmp_path: Path) -> None:
    code = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); {SLEEPER}"
    child = await processes.start(program(tmp_path, code), mode)
    await said(child.program.log, "up")
    await child.stop(grace=PATIENCE)
    assert await child.wait() == 7


async def test_stop_does_not_ask_twice(tmp_path: Path) -> None:
    child = await processes.start(program(tmp_path, STUBBORN))
    await said(child.program.log, "up")
    await child.stop(grace=0.2)
    assert await child.wait() == -signal.SIGKILL


async def test_a_childs_own_children_go_too(tmp_path: Path) -> None:
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}])"
    child = await processes.start(program(tmp_path, code + "; import time; time.sleep(600)"))
    await said(child.program.log, "up")
    family = psutil.Process(child.pid).children(recursive=True)
    await child.stop(grace=PATIENCE)
    _, alive = psutil.wait_procs(family, timeout=PATIENCE)
    assert family
    assert not alive


async def test_no_secret_is_in_an_argv_and_ctrl_c_does_not_reach_a_child(tmp_path: Path) -> None:
    secret = Program("c", (sys.executable, "-c", SLEEPER), tmp_path / "log", {"RISE_NATS_TOKEN": "hush"})
    child = await processes.start(secret)
    await said(secret.log, "up")
    assert not any("hush" in part for part in psutil.Process(child.pid).cmdline())
    assert os.getpgid(child.pid) != os.getpgid(0)
    await child.stop(0.1)


async def test_what_dies_is_started_again(tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(told.append)
    await supervisor.add(program(tmp_path, SLEEPER))
    supervisor.keep()
    await said(tmp_path / "child.log", "up")
    first = supervisor.pids()["child"]
    os.kill(first, signal.SIGKILL)
    await said(tmp_path / "child.log", "up", times=2)
    assert supervisor.pids()["child"] != first
    assert told == ["child ended by signal 9: up; it is started again"]
    await supervisor.stop(1.0)
    assert supervisor.pids() == {}


KEEPS_DYING = """
import sys, time
from pathlib import Path
while not Path(sys.argv[1]).exists():
    time.sleep(0.01)
sys.exit("no weights")
"""


@pytest.mark.parametrize("needed", [True, False])
async def test_what_keeps_dying_ends_the_platform_only_where_a_job_needs_it(needed: bool, tmp_path: Path) -> None:
    told: list[str] = []
    supervisor = Supervisor(told.append)
    bad, log = tmp_path / "bad", tmp_path / "scorer.log"
    scorer = Program("scorer", (sys.executable, "-c", KEEPS_DYING, str(bad)), log, needed=needed)
    await supervisor.add(program(tmp_path, SLEEPER, "worker"))
    await supervisor.add(scorer)
    supervisor.keep()
    bad.touch()
    broken = asyncio.create_task(supervisor.until_broken())
    await said(log, "no weights", times=6)
    if needed:
        with pytest.raises(errors.WorkerLost, match="scorer: ended with exit code 1: no weights"):
            await asyncio.wait_for(broken, PATIENCE)
    else:
        async with asyncio.timeout(PATIENCE):
            while len(told) < 6:
                await asyncio.sleep(0.01)
        end = "scorer ended with exit code 1: no weights;"
        assert told == [
            *[f"{end} it is started again"] * 5,
            f"{end} it keeps dying and is left out, jobs go on; see {log}",
        ]
        assert list(supervisor.pids()) == ["worker"]
        assert not broken.done()
    await supervisor.stop(1.0)
    await asyncio.gather(broken, return_exceptions=True)


@pytest.mark.parametrize("needed", [True, False])
async def test_what_fails_at_the_start_is_not_tried_again(needed: bool, tmp_path: Path) -> None:
    supervisor = Supervisor()
    code = 'import sys; sys.stderr.write(\'{"message": "no such model"}\\n\'); sys.exit(2)'
    await supervisor.add(program(tmp_path, code, needed=needed))
    with pytest.raises(errors.WorkerLost, match="child: ended with exit code 2: no such model"):
        await asyncio.wait_for(supervisor.until_broken(), PATIENCE)
    await supervisor.stop(1.0)


async def test_the_bus_leaves_last(tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        f"def leave(*_):\n time.sleep({{wait}})\n open({str(order)!r}, 'a').write({{name!r}})\n sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave); print('up', flush=True); time.sleep(600)"
    )
    supervisor = Supervisor()
    await supervisor.add(program(tmp_path, code.format(wait=0, name="bus "), "bus", last=True))
    await supervisor.add(program(tmp_path, code.format(wait=0.3, name="worker "), "worker"))
    await said(tmp_path / "bus.log", "up")
    await said(tmp_path / "worker.log", "up")
    await supervisor.stop(PATIENCE)
    assert order.read_text() == "worker bus "


def test_a_scratch_folder_is_gone_afterwards(tmp_path: Path) -> None:
    with scratch.folder(tmp_path) as folder:
        (folder / "x").write_text("x")
        assert folder.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_command_is_swept_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from rise_cli.local import scratch\n"
        "with scratch.folder(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    (left,) = tmp_path.iterdir()
    with scratch.folder(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]
        assert scratch.sweep(tmp_path) == []
    assert not left.exists()


def test_a_note_of_a_dead_platform_is_not_believed(tmp_path: Path) -> None:
    me = os.getpid()
    note = state.PlatformState(
        pid=me, started=state.start_time(me), url="nats://127.0.0.1:1", token="t", folder=tmp_path
    )
    state.write(note, tmp_path)
    assert (tmp_path / state.FILE).stat().st_mode & 0o777 == 0o600
    assert state.running(tmp_path) == note
    # The same process id, but of a process that began at another time: a stranger.
    state.write(note.model_copy(update={"started": note.started - 100}), tmp_path)
    assert state.running(tmp_path) is None
    assert not (tmp_path / state.FILE).exists()


def test_a_note_that_cannot_be_read_is_no_platform(tmp_path: Path) -> None:
    (tmp_path / state.FILE).write_text('{"pid": ')
    assert state.running(tmp_path) is None


def test_a_state_folder_nobody_may_write_in_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(state.VARIABLE, "/proc/rise")
    with pytest.raises(errors.DiskFull, match=r"\$RISE_STATE_DIR sets another"):
        state.folder()
    assert state.running() is None
