"""A platform that stays up: started detached, found again by its note, stopped by its signal.

`rise up` starts a second `rise` that holds the platform (the holder) and waits until it says that it is ready, or
says what went wrong. The holder is the supervisor and hosts the job driver.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel, ConfigDict
from rich.console import Console

from rise_cli import families, sessions
from rise_cli.local import platform, processes, scratch, state
from rise_cli.local.platform import Plan, Tell
from rise_cli.local.programs import Server
from rise_cli.local.state import PlatformState
from rise_cli.view import Screen
from rise_contracts import errors
from rise_contracts.decisions import POLICIES

LOG = "platform.log"


class Answer(BaseModel):
    """What a holder says of its start. `ok` None: it still waits for what `message` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ok: bool | None = None
    message: str = ""
    exit_code: int = 0


def known_policy(name: str | None) -> str | None:
    if name is not None and name not in POLICIES:
        raise errors.UnknownName("policy", name, POLICIES, "--policy")
    return name


async def up(plan: Plan, *, foreground: bool, as_json: bool) -> None:
    """Bring a platform up, in this process or in one that stays behind. Raises Busy where one is up already."""
    folder = state.folder()
    there = state.running(folder)
    if there is not None:
        raise errors.Busy(f"a platform is up already (process {there.pid}); use it, or stop it with: rise down")
    for name in plan.families:
        if name != families.EMBEDDED:
            families.from_file(Path(name))
    if foreground:
        await hold(plan, folder)
        return
    with Screen(Console(stderr=True), quiet=as_json) as screen:
        await _detach(plan, folder, screen.note)
    note = state.running(folder)
    if note is None:
        raise errors.WorkerLost("platform", f"it ended just after it was ready; see {folder / LOG}")
    if as_json:
        print(note.model_dump_json(indent=2, exclude={"token"}))
    else:
        print(f"up in {note.ready_seconds:.1f} s: {note.url}, serving {', '.join(note.families)}")


async def hold(plan: Plan, folder: Path, *, quiet: bool = False) -> None:
    """Be the platform until SIGTERM, SIGINT or until it cannot go on (WorkerLost)."""

    def say(text: str) -> None:
        if text and not quiet:
            sys.stderr.write(text + "\n")

    def note(text: str) -> None:
        say(text)
        _answer(Answer(message=text))

    plan = _with_logs(plan, folder / "logs")
    with scratch.folder(folder) as run:
        async with sessions.driven(plan, run, folder / "jetstream", say, note) as running:
            there = _note(plan, running, folder)
            state.write(there, folder)
            try:
                say(f"ready in {running.ready_seconds:.1f} s: {there.url}; Ctrl-C stops it")
                _answer(Answer(ok=True))
                await running.supervisor.until_broken()
            finally:
                state.remove(folder, there)


def main() -> None:
    """The holder's entry point: `python -m rise_cli.standing`, its plan on stdin."""
    from rise_cli import interrupts

    try:
        plan = _plan_from(sys.stdin.read())
        interrupts.run(hold(plan, state.folder()))
    except interrupts.Stopped:
        sys.exit(0)
    except errors.RiseError as error:
        _give_up(error)
    except OSError as error:
        _give_up(errors.DiskFull(error.filename or "the state folder", error.strerror or str(error)))


def _give_up(error: errors.RiseError) -> NoReturn:
    _answer(Answer(ok=False, message=str(error), exit_code=error.exit_code))
    sys.stderr.write(f"rise: {error}\n")
    sys.exit(error.exit_code)


def down(timeout: float, *, as_json: bool) -> None:
    """Stop the platform and wait until every process of it is gone."""
    import psutil

    folder = state.folder()
    note = state.running(folder)
    if note is None:
        raise state.NoPlatform
    with contextlib.suppress(psutil.NoSuchProcess):
        holder = psutil.Process(note.pid)
        everyone = [holder, *holder.children(recursive=True)]
        holder.send_signal(signal.SIGTERM)
        _, left = psutil.wait_procs([holder], timeout=timeout)
        for process in left:
            process.kill()  # its children follow it by themselves
        _, left = psutil.wait_procs(everyone, timeout=5.0)
        if left:
            raise errors.Waited("the end of the platform", timeout, f"process {left[0].pid} is still there")
    state.remove(folder, note)
    print(json.dumps({"stopped": note.pid}) if as_json else "down")


async def _detach(plan: Plan, folder: Path, note: Tell) -> None:
    """Start the holder and wait for its answer; `note` hears what takes its time. Who is stopped takes it along.

    Raises what the holder could not do.
    """
    holder, reading = _launch(plan, folder / LOG)
    try:
        answer = await asyncio.to_thread(_last_answer, reading, note)
    except asyncio.CancelledError:
        holder.terminate()
        await asyncio.to_thread(holder.wait)
        raise
    if answer is None:
        code, log = holder.wait(), folder / LOG
        raise errors.WorkerLost("platform", f"ended with code {code}: {processes.last_words(log)}; see {log}")
    if not answer.ok:
        await asyncio.to_thread(holder.wait)  # until it has cleaned up
        failure = errors.RemoteError("RiseError", answer.message, retriable=False)
        failure.exit_code = answer.exit_code
        raise failure


def _launch(plan: Plan, log: Path) -> tuple[subprocess.Popen[bytes], int]:
    """The holder, in a session of its own, and the end of a pipe on which it answers."""
    reading, writing = os.pipe()
    try:
        with log.open("wb") as output:
            holder = subprocess.Popen(
                (sys.executable, "-m", "rise_cli.standing"),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(writing,),
                env={**os.environ, _ANSWER_FD: str(writing)},
            )
    except OSError as error:
        os.close(reading)
        raise state.cannot_write(log, error) from error
    finally:
        os.close(writing)
    assert holder.stdin is not None
    holder.stdin.write(_plan_text(plan).encode())
    holder.stdin.close()
    return holder, reading


_ANSWER_FD = "RISE_ANSWER_FD"


def _answer(answer: Answer) -> None:
    """Tell the `rise up` that waits, if one does; nothing more after how it went."""
    fd = os.environ.get(_ANSWER_FD)
    if fd is None:
        return
    with contextlib.suppress(OSError):
        os.write(int(fd), answer.model_dump_json().encode() + b"\n")
    if answer.ok is not None:
        os.environ.pop(_ANSWER_FD)
        os.close(int(fd))


def _last_answer(reading: int, note: Tell) -> Answer | None:
    """How it went; None where the holder ended without a word."""
    with os.fdopen(reading) as pipe:
        for line in pipe:
            answer = Answer.model_validate_json(line)
            if answer.ok is not None:
                return answer
            note(answer.message)
    return None


def _note(plan: Plan, running: platform.Platform, folder: Path) -> PlatformState:
    served = [
        families.EMBEDDED if name == families.EMBEDDED else families.from_file(Path(name)).metadata.name
        for name in plan.families or (families.EMBEDDED,)
    ]
    return PlatformState(
        pid=os.getpid(),
        started=state.start_time(os.getpid()),
        url=running.server.url,
        token=running.server.token or "",
        folder=folder,
        families=tuple(served),
        ready_seconds=time.time() - state.start_time(os.getpid()),
    )


def _with_logs(plan: Plan, logs: Path) -> Plan:
    from dataclasses import replace

    return plan if plan.logs else replace(plan, logs=logs)


def _plan_text(plan: Plan) -> str:
    """The plan for the holder, by a pipe: it may hold a token."""
    from dataclasses import asdict

    return json.dumps({**asdict(plan), "logs": str(plan.logs) if plan.logs else None})


def _plan_from(text: str) -> Plan:
    data = json.loads(text)
    server = Server(**data["server"]) if data["server"] else None
    logs = Path(data["logs"]) if data["logs"] else None
    scale = tuple(data["scale"]) if data["scale"] else None
    return Plan(**{**data, "families": tuple(data["families"]), "server": server, "logs": logs, "scale": scale})


if __name__ == "__main__":
    main()
