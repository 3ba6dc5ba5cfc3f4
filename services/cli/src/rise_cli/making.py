"""What `rise run` does, from options to files."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from rise_cli import arms, families, follow, outputs, requests, sessions, story, vocabulary, written
from rise_cli import report as reports
from rise_cli.local.platform import Plan
from rise_cli.requests import Wishes
from rise_cli.sessions import Session, Where
from rise_cli.view import Screen
from rise_contracts import errors, manifest, resources


@dataclass(frozen=True)
class Order:
    """The options of `rise run`. `baseline` None: where it costs little and means something."""

    wishes: Wishes
    out: Path
    file: Path | None = None
    family: Path | None = None
    compare: bool = False
    preview: bool = False
    baseline: bool | None = None
    nats: str | None = None
    json: bool = False
    timeout: float | None = None
    logs: Path | None = None


@dataclass(frozen=True)
class Work:
    """An order that was understood, and the platform to do it on."""

    order: Order
    job: resources.RelayJob
    family: resources.ModelFamily
    session: Session
    screen: Screen


@dataclass(frozen=True)
class Done:
    runs: tuple[reports.Run, ...]
    sheet: Path | None = None


async def make(order: Order) -> None:
    """Run the order and print what happened, or the report as JSON. Raises RiseError."""
    job, family = _understand(order)
    outputs.prepare(order.out)
    warnings = [*vocabulary.warnings(job.spec.prompt, job.spec.family), *requests.ignored(job.spec, family)]
    with Screen(Console(stderr=True), quiet=order.json) as screen:
        for line in warnings:
            screen.warn(line)
        served = (str(order.family),) if order.family else ()
        where = Where(sessions.server_from(order.nats, os.environ), Plan(served, logs=order.logs), family)
        async with sessions.opened(where, screen.warn, screen.note) as session:
            work = Work(order, job, family, session, screen)
            making = _compare(work) if order.compare else _single(work)
            done = await session.guarded(_within(making, order.timeout))
            screen.stop()  # what happened is told now; stopping what was started takes seconds more
            story.tell(_report(order, job, done, warnings), order.out, as_json=order.json)
            sys.stdout.flush()


def _understand(order: Order) -> tuple[resources.RelayJob, resources.ModelFamily]:
    """The job and its family; everything that can be wrong with the input is found here, before anything starts."""
    given = manifest.load_job(families.read_text(order.file), str(order.file)) if order.file else None
    if given is not None and order.wishes.prompt is not None:
        raise errors.InvalidInput("prompt", "a prompt or -f FILE", "both", "leave one of them out")
    family = families.find(given.spec.family if given else families.EMBEDDED, order.family)
    return requests.build(order.wishes, given, family), family


async def _within(work: Awaitable[Done], seconds: float | None) -> Done:
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError:
        raise errors.Waited("the picture", seconds or 0.0, "give it longer with --timeout") from None


async def _single(work: Work) -> Done:
    run = await _make_one(work, work.job, preview=work.order.preview)
    alone = arms.alone("edge", work.family)
    if alone is None or alone == run.arm or not _wants_baseline(work):
        return Done((run,))
    work.screen.begin()
    work.screen.note("timing the large model alone, for comparison")
    baseline = await _make_one(work, requests.with_arm(work.job, alone, run.seed, work.family), keep=False)
    return Done(reports.with_speedups((run, baseline), alone))


def _wants_baseline(work: Work) -> bool:
    if work.order.baseline is not None:
        return work.order.baseline
    return work.session.supervisor is not None and work.job.spec.family == families.EMBEDDED


async def _compare(work: Work) -> Done:
    """The same prompt and seed by every arm, one after the other, so that none slows another down."""
    seed = work.job.spec.seed if work.job.spec.seed is not None else secrets.randbelow(2**31)
    chosen = arms.comparison(work.family)
    work.screen.note("warming up: the first steps of a fresh worker are slower")
    for arm in arms.warm_up(chosen):
        job = requests.with_arm(work.job, arm, seed, work.family)
        await follow.make(work.session.bus, job, Screen(work.screen.console, quiet=True))
    runs = []
    for number, arm in enumerate(chosen, 1):
        work.screen.begin()
        work.screen.note(f"{number} of {len(chosen)}: {arms.describe(arm)}")
        job = requests.with_arm(work.job, arm, seed, work.family)
        runs.append(await _make_one(work, job, preview=work.order.preview))
    told = reports.with_speedups(runs, arms.alone("edge", work.family))
    name = f"{work.job.metadata.name[:40].rstrip('-')}-compare"
    return Done(told, written.sheet(work.job.spec.prompt, told, work.order.out / f"{name}.png"))


async def _make_one(work: Work, job: resources.RelayJob, *, preview: bool = False, keep: bool = True) -> reports.Run:
    """One job, its files written and judged. `keep` False: only its figures are wanted."""
    made = await follow.make(work.session.bus, job, work.screen, preview=preview)
    if not keep:
        return reports.tell(made.record, made.done, made.seconds, (), ())
    handoffs = written.previews(made, work.order.out)
    pictures = written.pictures(made, work.order.out)
    await follow.tell_quality(work.session.bus, made, written.quality(pictures))
    return reports.tell(made.record, made.done, made.seconds, handoffs, pictures)


def _report(order: Order, job: resources.RelayJob, done: Done, warnings: list[str]) -> reports.Report:
    return reports.Report(
        rise=reports.version(),
        kind="compare" if order.compare else "run",
        prompt=job.spec.prompt,
        family=job.spec.family,
        seed=done.runs[0].seed,
        machine=reports.machine(),
        warnings=tuple(warnings),
        runs=done.runs,
        sheet=str(done.sheet) if done.sheet else None,
    )
