"""The commands put together, and the one seam where an error becomes a line and an exit code.

===== ==================================================================================================
code  meaning
===== ==================================================================================================
0     it worked
1     an error without a code of its own, or `rise doctor` found something that keeps a picture from being made
2     the input cannot be accepted (option, manifest, name, key); nothing was started
3     the job, result or file does not exist
4     the job was accepted and failed
5     the job was cancelled
6     nobody free, or a wait ran out of time; the same command may work later
7     no platform is up, no NATS server answers, or it is too old or without JetStream
8     a worker or another process was lost and could not be kept running
9     a file cannot be written: no room, no right, a read-only folder
70    a bug in rise: please report it (RISE_DEBUG=1 shows where)
130   stopped by Ctrl-C; 143 by SIGTERM, 129 by a closed terminal
===== ==================================================================================================
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer

from rise_cli import interrupts
from rise_cli.commands import bench, doctor, jobs, join, keys, platform, policy, run
from rise_contracts import errors, words

BUG = 70

app = typer.Typer(
    name="rise",
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("up")(platform.up)
app.command("down")(platform.down)
app.command("join")(join.join)
app.command("keys")(keys.keys)
app.command("submit")(jobs.submit)
app.command("get")(jobs.get)
app.command("watch")(jobs.watch)
app.command("result")(jobs.result)
app.command("cancel")(jobs.cancel)
app.command("keep")(jobs.keep)
app.command("regenerate")(jobs.regenerate)
app.command("explain")(jobs.explain)
app.command("policy")(policy.policy)
app.command("doctor")(doctor.doctor)
app.command("bench", context_settings=bench.PASSED_ON)(bench.bench)


@app.callback()
def rise(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.", is_eager=True)] = False,
) -> None:
    """One picture, two processes: a large model begins it, a small one finishes it."""
    if version:
        from rise_cli import report

        print(f"rise {report.version()}")
        raise typer.Exit


def main() -> NoReturn:
    """The `rise` script."""
    sys.exit(call(sys.argv[1:]))


def call(arguments: Sequence[str]) -> int:
    """Run one command; its exit code. Every error ends here, as one line on stderr."""
    debugging = bool(os.environ.get("RISE_DEBUG"))
    try:
        code = app(list(arguments) or ["--help"], prog_name="rise", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except interrupts.Stopped as error:
        return _say(f"stopped by {error.name}", error.exit_code)
    except KeyboardInterrupt:
        return _say("stopped by Ctrl-C", interrupts.exit_code_of("SIGINT"))
    except errors.RiseError as error:
        if debugging:
            raise
        return _say(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader has seen enough (`rise get | head`). Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except typer.Abort:
        return _say("stopped", 1)
    except OSError as error:
        if debugging:
            raise
        return _say(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), errors.DiskFull.exit_code)
    except Exception as error:
        if debugging:
            raise
        return _unforeseen(error)


def _unforeseen(error: Exception) -> int:
    """A complaint of the option parser, which has a text of its own, or a bug."""
    complaint = getattr(error, "format_message", None)
    if complaint is not None:
        return _say(_usage(error, str(complaint())), int(getattr(error, "exit_code", 2)))
    return _say(f"a bug: {type(error).__name__}: {error}; please report it, with the output of RISE_DEBUG=1", BUG)


def _usage(error: Exception, text: str) -> str:
    """The parser's complaint in our words, with what to do next."""
    line = " ".join(text.split()).rstrip(".").replace(": Input should be ", ": wanted ")
    line = line[:1].lower() + line[1:]
    if line.startswith("no such command"):
        name = line.split("'")[1] if "'" in line else ""
        known = [command.name or "" for command in app.registered_commands]
        return f"no such command {name!r}; {words.suggestion(name, known, most=20)}"
    if line.startswith("no such option"):
        option = str(getattr(error, "option_name", ""))
        near = words.nearest(option, getattr(error, "possibilities", None) or ())
        line = f"no such option {option}" + (f"; did you mean {near}?" if near else "")
    if line.startswith("got unexpected extra argument"):
        line += "; a prompt of several words goes into quotes"
    context = getattr(error, "ctx", None)
    return f"{line}; see {context.command_path if context is not None else 'rise'} --help"


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"rise: {' '.join(text.split())}\n")
    return code
