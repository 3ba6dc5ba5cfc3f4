"""One cell after the other through the front door "command line": reach the moment, strike, wait, judge."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks.chaos import cells, disk, jobs, memory, reach, snapshot
from benchmarks.chaos.invariants import Verdict, Wanted
from benchmarks.chaos.jobs import Undisturbed
from benchmarks.chaos.ledger import Ledger, followed
from benchmarks.chaos.strikes import Hit, strike
from benchmarks.chaos.words import Cell, Moment, Result
from benchmarks.chaos.world import Makeup, World, world
from rise_contracts import errors, messages
from rise_runtime import client, endings, streams

SKEWS: Final = {cells.AHEAD: 300.0, cells.BEHIND: -300.0}
Tell = Callable[[str], None]


@dataclass(slots=True)
class Stage:
    """A world with its measure: what an undisturbed job is there, and all that was wanted of it so far."""

    world: World
    ledger: Ledger
    plain: Undisturbed
    expiring: Undisturbed
    wanted: list[Wanted] = field(default_factory=list)


@contextlib.asynccontextmanager
async def stage(makeup: Makeup, folder: Path) -> AsyncIterator[Stage]:
    """A world that is ready for cells."""
    async with world(makeup, folder) as made, followed(made.bus) as ledger:
        plain, wanted = await jobs.undisturbed(made, ledger)
        expiring, more = await jobs.undisturbed(made, ledger, ttl_s=jobs.TTL_S)
        yield Stage(made, ledger, plain, expiring, [*wanted, *more])


async def run(on: Stage, chosen: Iterable[Cell], tell: Tell) -> list[Result]:
    """The results of these cells, in their order; `tell` hears of each."""
    results = []
    for cell in chosen:
        result = await run_cell(on, cell)
        tell(line(result))
        results.append(result)
    return results


def line(result: Result) -> str:
    """A result in a line."""
    what = "right" if result.right else f"lacks {result.lacks}" if result.lacks else "WRONG"
    took = "" if result.recovery_s is None else f", {result.recovery_s:.1f} s longer"
    again = "" if result.recomputed is None else f", {result.recomputed} steps again"
    left = "".join(f"\n    {each}" for each in result.left)
    return f"{cells.said(result.cell)}: {what}{took}{again}{left}"


async def run_cell(on: Stage, cell: Cell) -> Result:
    """One cell. The world is whole again afterwards."""
    lacks = {cells.NO_MEMORY: memory.lacks, cells.FULL: disk.lacks}.get(cell.fault, str)()
    if lacks:
        return Result(cell, jobs=0, lacks=lacks)
    with _skewed(on.world, cell):
        if cell.fault in SKEWS:
            await _anew(on.world, on.world.names(cell.target))
        result = await _struck(on, cell)
    if cell.fault in SKEWS:
        await _anew(on.world, on.world.names(cell.target))
    return result


async def _struck(on: Stage, cell: Cell) -> Result:
    deleting = cell.moment is Moment.IN_DELETION
    key = f"{cell.moment.name.lower()}-{secrets.token_hex(4)}"
    asked = jobs.spec(key, ttl_s=jobs.TTL_S if deleting else None)
    job_id = client.id_of(key)
    holds = reach.armed(on.world, cell, job_id, jobs.STEP)
    began = time.monotonic()
    await client.submit(on.world.bus, asked)
    on.wanted.append(Wanted(job_id, on.plain.digest, gone=deleting))
    try:
        hold = await reach.first(holds)
        hit = Hit(on.world, on.ledger, cell, job_id, reach.victim(on.world, cell, hold), hold)
        away = await strike(hit)
        over = await hit.over()
    finally:
        for each in holds:
            each.let_go()
        await on.world.restore()
    ended = (on.ledger.gone if deleting else on.ledger.ended).get(job_id)
    longer = None if ended is None else ended - began - (on.expiring.gone_s if deleting else on.plain.seconds)
    recomputed = await _recomputed(on.world, cell, hit) if over and not deleting else None
    verdict = await _verdict(on)
    return _result(cell, verdict, None if longer is None else max(0.0, longer - away), recomputed)


async def _verdict(on: Stage) -> Verdict:
    """After one more job, which finds whatever does not work any more; what is wrong is complained of once."""
    key = f"after-{secrets.token_hex(4)}"
    job = await client.submit(on.world.bus, jobs.spec(key))
    on.wanted.append(Wanted(job.job_id, on.plain.digest))
    await on.ledger.until(on.ledger.ended, job.job_id, jobs.PATIENCE_S)
    verdict = await snapshot.settled(on.world.bus, lambda: on.wanted, on.world.temporary)
    await _cleared(on, verdict)
    return verdict


async def _cleared(on: Stage, verdict: Verdict) -> None:
    """Forget the jobs so far, and see that nothing is left of them. What a cell left over is not the next one's."""
    bus = on.world.bus
    for job in on.wanted:
        if not job.gone:
            with contextlib.suppress(errors.RiseError):
                if verdict.hung:
                    await client.cancel(bus, job.job_id)
                await client.remove(bus, job.job_id)
    on.wanted.clear()
    if not verdict.right:
        for stream in await snapshot.held(bus):
            if stream.startswith("RISE_"):
                await streams.purge(bus, stream, ">")
        return
    gone = await snapshot.settled(bus, tuple, on.world.temporary)
    if not gone.right:
        raise errors.StageFailed("; ".join(gone.left), reason="LeftOver")


async def _recomputed(world: World, cell: Cell, hit: Hit) -> int | None:
    """Steps made twice for a worker that was struck in the middle of a stage; None at other moments."""
    stage = {Moment.IN_HEAD: 0, Moment.IN_TAIL: 1}.get(cell.moment)
    if stage is None or not hit.own:
        return None
    ended = await endings.get(world.bus, hit.job_id)
    if ended is None or not isinstance(ended[0], messages.JobDone):
        return None
    report = ended[0].stages[stage]
    return 0 if report.worker == hit.victim else jobs.STEP - report.resumed_at


def _result(cell: Cell, verdict: Verdict, recovery_s: float | None, recomputed: int | None) -> Result:
    complaints = (*verdict.lost, *verdict.duplicated, *verdict.hung, *verdict.left)
    return Result(
        cell,
        jobs=2,
        lost=len(verdict.lost),
        duplicated=len(verdict.duplicated),
        hung=len(verdict.hung),
        left=complaints,
        recovery_s=recovery_s,
        recomputed=recomputed,
    )


@contextlib.contextmanager
def _skewed(world: World, cell: Cell) -> Iterator[None]:
    """While the block runs, the target's processes are started with a clock that is wrong."""
    seconds = SKEWS.get(cell.fault)
    if seconds is None:
        yield
        return
    before = {name: world.parts[name].program for name in world.names(cell.target)}
    for name, program in before.items():
        place = program.command.index("-m") + 1
        skew = (*program.command[:place], "benchmarks.chaos.skewed", f"{seconds:g}", *program.command[place:])
        world.parts[name].program = replace(program, command=skew)
    try:
        yield
    finally:
        for name, program in before.items():
            world.parts[name].program = program


async def _anew(world: World, names: Iterable[str]) -> None:
    for name in names:
        await world.parts[name].kill()
    await world.restore()
