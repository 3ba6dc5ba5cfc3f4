"""`rise keys`: let somebody in, or out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def keys(
    role: Annotated[str, typer.Argument(help="operator, scheduler, judge, auditor, user, edge or device.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where this platform's keys are.")] = Path("keys"),
    pool: Annotated[str, typer.Option("--pool", help="A worker's pool; by default named like its tier.")] = "",
    name: Annotated[str, typer.Option("--name", help="A worker's name, as `rise join --name` has it.")] = "",
    private: Annotated[
        bool, typer.Option("--private", help="A device that takes only what is sent to it by name.")
    ] = False,
    revoke: Annotated[bool, typer.Option("--revoke", help="Take the key away instead.")] = False,
) -> None:
    """Make a key for a NATS server of your own, with just the rights of a role, or take one away."""
    from rise_cli import keys as kept

    who = kept.principal(role, pool, name, private=private)
    if revoke:
        accounts = kept.revoke(who, folder)
        print(f"taken away; {accounts} says so: include it in nats-server's configuration, and reload that")
        return
    made = kept.make(who, folder)
    print(f"{made.seed}: RISE_NATS_NKEY for {who.role} {who.name}".rstrip())
    print(f"{made.accounts}: include it in nats-server's configuration, and reload that (nats-server --signal reload)")
