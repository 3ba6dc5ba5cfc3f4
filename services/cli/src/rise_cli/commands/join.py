"""`rise join`: this machine becomes a device of a platform."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rise_cli.commands import options


def join(
    name: Annotated[str, typer.Option("--name", help="The worker's name, unique in the platform.")],
    nats: options.Nats = None,
    private: Annotated[
        bool, typer.Option("--private", help="Do only the jobs whose deviceSelector names this device's labels.")
    ] = False,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="For device selectors (repeatable).")
    ] = None,
    pool: Annotated[str, typer.Option("--pool", help="The pool to take work of.")] = "device",
    family: Annotated[
        list[Path] | None,
        typer.Option("--family", help="A ModelFamily manifest instead of the embedded family (repeatable)."),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=0, max=1024, help="CPU threads; 0 is one per core.")] = 0,
) -> None:
    """Lend this machine to a platform as a device, until Ctrl-C: it finishes what the edge began."""
    import os

    from rise_cli.local import programs
    from rise_cli.sessions import platform_of

    server = platform_of(nats, os.environ)
    command = programs.stage_command(name, "device", pool, [str(path.resolve()) for path in family or ()])
    command += ["--threads", str(threads), *(["--private"] if private else [])]
    for each in label or ():
        command += ["--label", each]
    # In place of this process: its signals are the worker's, and nobody needs to watch over the two.
    os.execvpe(command[0], command, {**os.environ, **server.env()})
