"""The commands for jobs on a platform that is up: submit, get, watch, result, cancel, keep, regenerate, explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rise_cli.commands import options


def submit(
    prompt: options.Prompt = None,
    file: options.File = None,
    seed: options.Seed = None,
    preference: options.Preference = None,
    fixed: options.Fixed = None,
    steps: options.Steps = None,
    images: options.Images = None,
    frames: options.Frames = None,
    size: options.Size = None,
    guidance: options.Guidance = None,
    negative: options.Negative = None,
    key: options.Key = None,
    preview: options.Preview = False,
    family: Annotated[str | None, typer.Option("--family", help="The name of a family that is served.")] = None,
    nats: options.Nats = None,
    json: options.Json = False,
) -> None:
    """Hand a job to the platform that is up and return at once; prints its id."""
    from rise_cli import interrupts, remote
    from rise_cli.requests import Wishes

    wishes = Wishes(prompt, negative, seed, preference, fixed, steps, images, size, guidance, key, frames)
    interrupts.run(remote.submit(wishes, file, family, nats, preview=preview, as_json=json))


def get(
    job: Annotated[str | None, typer.Argument(help="The job's id, or its beginning; without it all jobs.")] = None,
    workers: Annotated[bool, typer.Option("--workers", help="The workers instead of the jobs.")] = False,
    nats: options.Nats = None,
    json: options.Json = False,
) -> None:
    """Show the jobs, one job, or the workers."""
    from rise_cli import interrupts, remote

    interrupts.run(remote.get(job, nats, workers=workers, as_json=json))


def watch(
    job: options.JobOrNewest = None,
    timeout: options.Timeout = None,
    nats: options.Nats = None,
    json: options.Json = False,
) -> None:
    """Follow a job until it has ended. With --json: one event per line."""
    from rise_cli import interrupts, remote

    interrupts.run(remote.watch(job, nats, timeout, as_json=json))


def result(
    job: options.JobOrNewest = None,
    out: options.Out = Path("out"),
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the job to end first.")] = False,
    timeout: options.Timeout = None,
    nats: options.Nats = None,
    json: options.Json = False,
) -> None:
    """Fetch a finished job's pictures and write its report."""
    from rise_cli import interrupts, remote

    interrupts.run(remote.result(job, out, nats, timeout, wait=wait, as_json=json))


def cancel(job: options.Job, nats: options.Nats = None, json: options.Json = False) -> None:
    """Stop a job within one step. One that has ended stays as it is."""
    from rise_cli import interrupts, remote

    interrupts.run(remote.cancel(job, nats, as_json=json))


def keep(job: options.JobOrNewest = None, nats: options.Nats = None) -> None:
    """Say that a job's pictures are good: the scheduler learns from it."""
    from rise_cli import interrupts, remote

    interrupts.run(remote.keep(job, nats))


def regenerate(job: options.JobOrNewest = None, nats: options.Nats = None, json: options.Json = False) -> None:
    """Say that a job's pictures are not good, and hand it in again with another seed; prints the new job's id."""
    from rise_cli import interrupts, remote

    interrupts.run(remote.regenerate(job, nats, as_json=json))


def explain(job: options.JobOrNewest = None, nats: options.Nats = None, json: options.Json = False) -> None:
    """Say why a job waits, what was decided for it and why, and what came of it."""
    from rise_cli import interrupts, remote

    interrupts.run(remote.explain(job, nats, as_json=json))
