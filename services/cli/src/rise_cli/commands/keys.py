"""`rise keys`: who is let in to a NATS server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def keys(
    role: Annotated[
        str | None, typer.Argument(help="operator, scheduler, judge, auditor, user, edge or device.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file for the key, for its owner alone.")] = None,
    pool: Annotated[str | None, typer.Option("--pool", help="Of a worker.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Of a worker.")] = None,
    private: Annotated[bool, typer.Option("--private", help="A device that takes no work but its own.")] = False,
    server: Annotated[
        Path | None, typer.Option("--server", help="A file of such lines: print them for nats-server's configuration.")
    ] = None,
) -> None:
    """Draw a key, and print the line that lets it in: a value for nats.users of the chart, or a line for --server."""
    from rise_cli import keys as drawn
    from rise_contracts.errors import InvalidInput

    if server is not None:
        typer.echo(drawn.server_configuration(server), nl=False)
        return
    if role is None or out is None:
        raise InvalidInput("rise keys", "a role and --out FILE, or --server FILE", "neither", "see rise keys --help")
    typer.echo(drawn.new(out, role, pool=pool, name=name, private=private).text())
