"""`rise run`: a prompt in, a picture and a report out, everything needed started and stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rise_cli.commands import options


def run(
    prompt: options.Prompt = None,
    file: options.File = None,
    seed: options.Seed = None,
    preference: options.Preference = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Edge alone, device alone and relays side by side in one contact sheet.")
    ] = False,
    preview: options.Preview = False,
    fixed: options.Fixed = None,
    steps: options.Steps = None,
    images: options.Images = None,
    frames: options.Frames = None,
    size: options.Size = None,
    guidance: options.Guidance = None,
    negative: options.Negative = None,
    key: options.Key = None,
    family: options.Family = None,
    baseline: Annotated[
        bool | None,
        typer.Option(
            "--baseline/--no-baseline",
            help="Time the large model alone too; by default for the embedded family on a platform of our own.",
        ),
    ] = None,
    nats: options.Nats = None,
    out: options.Out = Path("out"),
    json: options.Json = False,
    timeout: options.Timeout = None,
    logs: Annotated[Path | None, typer.Option("--logs", help="Keep the processes' logs in this folder.")] = None,
) -> None:
    """Draw a picture: start what is needed, relay it from a large model to a small one, clean up.

    Uses the platform that is up (rise up), or the NATS server at --nats, else one of its own for the time it takes.
    """
    from rise_cli import interrupts, making
    from rise_cli.requests import Wishes

    wishes = Wishes(prompt, negative, seed, preference, fixed, steps, images, size, guidance, key, frames)
    order = making.Order(
        wishes, out, file, family, compare, preview, baseline, nats, json=json, timeout=timeout, logs=logs
    )
    interrupts.run(making.make(order))
