"""`rise up` and `rise down`: a platform that stays."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rise_cli.commands import options
from rise_contracts import scorers


def up(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay attached; Ctrl-C stops it.")] = False,
    family: Annotated[
        list[Path] | None, typer.Option("--family", help="Also serve this ModelFamily manifest (repeatable).")
    ] = None,
    only: Annotated[bool, typer.Option("--only", help="Serve those families alone, not the embedded one.")] = False,
    edge: Annotated[int, typer.Option("--edge", min=0, max=64, help="Edge workers.")] = 1,
    device: Annotated[int, typer.Option("--device", min=0, max=64, help="Device workers.")] = 1,
    threads: Annotated[int | None, typer.Option("--threads", min=0, max=1024, help="CPU threads per worker.")] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", help="The scheduler's policy: composed, fixed or linucb.")
    ] = None,
    audit: Annotated[
        float,
        typer.Option(
            "--audit", min=0.0, max=1.0, help="Share of jobs that the base member also makes, in idle time, to compare."
        ),
    ] = 0.0,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            help="Also score families that no program can judge: clipscore, hpsv2 or pickscore, ':' and its weights.",
        ),
    ] = None,
    judge_share: Annotated[
        float, typer.Option("--judge-share", min=0.0, max=1.0, help="Share of jobs that it scores.")
    ] = scorers.SHARE,
    judge_range: Annotated[
        tuple[float, float] | None,
        typer.Option("--judge-range", metavar="LOW HIGH", help="Its raw scores that are worth 0 and 1."),
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="The bus's port on loopback; by default a free one.")
    ] = None,
    nats: options.Nats = None,
    json: options.Json = False,
) -> None:
    """Start a platform that stays up: bus, scheduler, workers, job driver. What dies is started again."""
    import os

    from rise_cli import families, interrupts, standing
    from rise_cli.local.platform import Plan
    from rise_cli.sessions import server_from

    names = tuple(str(path.resolve()) for path in family or ())
    plan = Plan(
        families=names if only else ("rise-shapes", *names),
        edge=edge,
        device=device,
        judge=True,
        audit=audit,
        scorer=families.scorer(judge),
        scored=judge_share,
        scale=families.scale(judge_range),
        threads=threads,
        policy=standing.known_policy(policy),
        server=server_from(nats, os.environ),
        port=port,
    )
    interrupts.run(standing.up(plan, foreground=foreground, as_json=json))


def down(
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds until the hard way.")] = 30.0,
    json: options.Json = False,
) -> None:
    """Stop the platform that is up. Jobs that are not finished go on when it is up again."""
    from rise_cli import standing

    standing.down(timeout, as_json=json)
