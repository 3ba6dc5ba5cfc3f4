"""What the commands for a platform that is up do: one connection, one thing, one print."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from rich.console import Console

from rise_cli import families, follow, outputs, requests, sessions, story, tables, vocabulary, written
from rise_cli import report as reports
from rise_cli.requests import Wishes
from rise_cli.view import Screen
from rise_contracts import codec, errors, manifest, records, subjects, words
from rise_contracts.decisions import DecisionRecord
from rise_runtime import client
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus


@asynccontextmanager
async def _bus(nats: str | None) -> AsyncIterator[Bus]:
    async with sessions.connected(sessions.server_from(nats, os.environ)) as bus:
        yield bus


async def submit(
    wishes: Wishes, file: Path | None, family: str | None, nats: str | None, *, preview: bool, as_json: bool
) -> None:
    given = manifest.load_job(families.read_text(file), str(file)) if file else None
    if given is not None and wishes.prompt is not None:
        raise errors.InvalidInput("prompt", "a prompt or -f FILE", "both", "leave one of them out")
    name = family or (given.spec.family if given else families.EMBEDDED)
    async with _bus(nats) as bus:
        known = await families.known_to(bus, name)
        job = requests.build(wishes, given, known)
        for line in (*vocabulary.warnings(job.spec.prompt, name), *requests.ignored(job.spec, known)):
            Screen(Console(stderr=True)).warn(line)
        record = await follow.submit(bus, job, preview=preview)
    print(record.model_dump_json(indent=2) if as_json else record.job_id)


async def get(job: str | None, nats: str | None, *, workers: bool, as_json: bool) -> None:
    async with _bus(nats) as bus:
        if workers:
            tables.workers(await client.list_workers(bus), as_json=as_json)
        elif job is None:
            tables.jobs(await client.list_jobs(bus), time.time(), as_json=as_json)
        else:
            tables.job(await client.get_job(bus, await find(bus, job)), as_json=as_json)


async def watch(job: str | None, nats: str | None, timeout: float | None, *, as_json: bool) -> None:
    async with _bus(nats) as bus:
        job_id = await find(bus, job)
        try:
            async with asyncio.timeout(timeout):
                await (_print_events(bus, job_id) if as_json else _show(bus, job_id))
        except TimeoutError:
            raise errors.Waited(f"the end of {job_id}", timeout or 0.0) from None
        ended(await client.get_job(bus, job_id))


async def result(
    job: str | None, out: Path, nats: str | None, timeout: float | None, *, wait: bool, as_json: bool
) -> None:
    outputs.prepare(out)
    async with _bus(nats) as bus:
        job_id = await find(bus, job)
        if wait:
            try:
                async with asyncio.timeout(timeout):
                    await client.wait(bus, job_id)
            except TimeoutError:
                raise errors.Waited(f"the end of {job_id}", timeout or 0.0) from None
        found = await client.fetch_result(bus, job_id)
        record = await client.get_job(bus, job_id)
        seconds = max(0.0, found.done.at - record.request.accepted_at)
        handed = await follow.follow(bus, job_id, Screen(Console(stderr=True), quiet=True))
        made = follow.Made(record, found.done, found.images, handed, seconds)
        handoffs, pictures = written.previews(made, out), written.pictures(made, out)
        await follow.tell_quality(bus, made, written.quality(pictures))
    run = reports.tell(record, found.done, seconds, handoffs, pictures)
    story.tell(reports.of_run(record, run), out, as_json=as_json)


async def cancel(job: str, nats: str | None, *, as_json: bool) -> None:
    async with _bus(nats) as bus:
        record = await client.cancel(bus, await find(bus, job))
    if as_json:
        print(record.model_dump_json(indent=2))
    else:
        print(f"{record.job_id}: {record.state}")


async def keep(job: str | None, nats: str | None) -> None:
    async with _bus(nats) as bus:
        record = await client.report_act(bus, await find(bus, job), "keep")
    print(f"{record.job_id}: kept")


async def regenerate(job: str | None, nats: str | None, *, as_json: bool) -> None:
    async with _bus(nats) as bus:
        before = await client.report_act(bus, await find(bus, job), "regenerate")
        spec = before.request.spec.model_copy(update={"seed": None, "idempotency_key": None})
        record = await client.submit(bus, spec, preview=before.request.preview)
    print(record.model_dump_json(indent=2) if as_json else record.job_id)


async def explain(job: str | None, nats: str | None, *, as_json: bool) -> None:
    async with _bus(nats) as bus:
        record = await client.get_job(bus, await find(bus, job))
        decision = await _decision(bus, record)
    tables.explain(record, decision, as_json=as_json)


async def find(bus: Bus, job: str | None) -> str:
    """The id that `job` is or begins; the newest job's for None.

    Raises NotFound, with the nearest id, or InvalidInput where several begin so.
    """
    ids = [record.job_id for record in await client.list_jobs(bus)]
    if job is None and ids:
        return ids[-1]
    if job is None or not ids:
        raise errors.NotFound("job", job or "newest", 'there are none; hand one in with: rise submit "a red circle"')
    if job in ids:
        return job
    begun = [job_id for job_id in ids if job_id.startswith(job)]
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise errors.InvalidInput("job", "one job", job, f"it begins {len(begun)}: {', '.join(sorted(begun)[:5])}")
    raise errors.NotFound("job", job, words.suggestion(job, ids))


def ended(record: records.JobRecord) -> None:
    """Raise what a job's bad ending is, so that scripts see it in the exit code."""
    if record.state is records.JobState.CANCELLED:
        raise errors.Cancelled(record.job_id)
    if record.error is not None:
        raise errors.JobEndedBadly(record.job_id, record.error.reason, record.error.message)


async def _show(bus: Bus, job_id: str) -> None:
    with Screen(Console(stderr=True)) as screen:
        await follow.follow(bus, job_id, screen)
        screen.note("")


async def _print_events(bus: Bus, job_id: str) -> None:
    async for event, _ in client.watch(bus, job_id):
        sys.stdout.write(event.model_dump_json() + "\n")
        sys.stdout.flush()


async def _decision(bus: Bus, record: records.JobRecord) -> DecisionRecord | None:
    """The scheduler's own note of the decision, kept for some days; None where it is gone."""
    if record.decision is None:
        return None
    entry = await Bucket(bus, subjects.KV_DECISIONS).get(record.decision.id)
    return codec.decode(DecisionRecord, entry.value) if entry is not None and entry.value else None
