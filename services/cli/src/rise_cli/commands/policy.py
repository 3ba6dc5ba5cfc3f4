"""`rise policy`: how the scheduler chooses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rise_cli.commands import options


def policy(
    png: Annotated[
        Path | None,
        typer.Option("--png", help="Draw the decisions: arms over time, predicted against observed, regret."),
    ] = None,
    family: Annotated[str | None, typer.Option("--family", help="The name of one family; by default all.")] = None,
    nats: options.Nats = None,
    json: options.Json = False,
) -> None:
    """Show how the scheduler would choose now and what it has learned of each arm; draw what it has decided."""
    from rise_cli import interrupts
    from rise_cli import policy as policies

    interrupts.run(policies.show(png, family, nats, as_json=json))
