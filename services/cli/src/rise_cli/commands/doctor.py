"""`rise doctor`: what this machine can do, and what it lacks."""

from __future__ import annotations

from pathlib import Path

import typer

from rise_cli.commands import options


def doctor(out: options.Out = Path("out"), json: options.Json = False) -> None:
    """Say what this machine can do and what is missing. Exit code 1 when a picture cannot be made."""
    from rise_cli import examination

    checks = examination.examine(out)
    examination.tell(checks, as_json=json)
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(1)
