"""The options that several commands share, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Prompt = Annotated[str | None, typer.Argument(help='What to draw: "a small red circle above a blue square".')]
File = Annotated[Path | None, typer.Option("-f", "--file", help="A RelayJob manifest, as kubectl apply takes it.")]
Negative = Annotated[str | None, typer.Option("--negative", help="What not to draw (needs guidance above 1).")]
Seed = Annotated[int | None, typer.Option("--seed", help="The same seed gives the same picture.")]
Preference = Annotated[
    str | None, typer.Option("--preference", help="quality, balanced, speed, or 0 (speed) to 1 (quality).")
]
Fixed = Annotated[
    str | None,
    typer.Option("--fixed", help="The arm itself, large:6@1.2+finisher:6, or without steps: large@1.2+small."),
]
Steps = Annotated[int | None, typer.Option("--steps", help="Denoising steps in all.")]
Images = Annotated[int | None, typer.Option("-n", "--images", help="How many pictures.")]
Frames = Annotated[int | None, typer.Option("--frames", help="How many frames, where the family makes videos.")]
Size = Annotated[str | None, typer.Option("--size", help="SIDE or WIDTHxHEIGHT in pixels.")]
Guidance = Annotated[float | None, typer.Option("--guidance", help="Guidance scale; 1 is none.")]
Key = Annotated[str | None, typer.Option("--key", help="Idempotency key: one key, one job.")]
Family = Annotated[Path | None, typer.Option("--family", help="A ModelFamily manifest, its members diffusers folders.")]
Nats = Annotated[
    str | None,
    typer.Option("--nats", metavar="URL", help="A NATS server with JetStream; its key: $RISE_NATS_NKEY or _TOKEN."),
]
Out = Annotated[Path, typer.Option("--out", help="Where pictures and reports are written.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]
Timeout = Annotated[float | None, typer.Option("--timeout", min=0.001, help="Give up after so many seconds.")]
Preview = Annotated[bool, typer.Option("--preview", help="Also write the decoded latent at the handoff.")]
Job = Annotated[str, typer.Argument(help="The job's id, or its beginning.")]
JobOrNewest = Annotated[str | None, typer.Argument(help="The job's id, or its beginning; by default the newest job.")]
