"""The random run: a steady mixed load, and a fault at a named moment every few seconds, all of it from one seed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.chaos import cells, plan, reach, references, snapshot
from benchmarks.chaos.invariants import DONE, DONE_OR_CANCELLED, Verdict, Wanted
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.plan import PlannedFault, PlannedJob
from benchmarks.chaos.strikes import Hit, strike
from benchmarks.chaos.tap import Hold
from benchmarks.chaos.words import Cell, Door, Moment, Result
from benchmarks.chaos.world import World
from rise_contracts import errors
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client

IN_FLIGHT: Final = 6
CALM_S: Final = 2.0
"""Between two faults, once everybody is back."""
REACH_S: Final = 15.0
DEADLINE_S: Final = 180.0
"""For every job, whatever strikes meanwhile: one that is not terminal by then hangs."""
TTL_S: Final = 1.0
NO_FAULT: Final = Cell("none", "nobody", Moment.BEFORE_DECISION, Door.COMMAND_LINE)
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Submitted:
    """A job of the run, and how many faults had struck before it came."""

    planned: PlannedJob
    job_id: str
    during: int


@dataclass(slots=True)
class Storm:
    """A run as it goes. `aimed`: the fault that waits for a job, and where the job's holds are to be put."""

    world: World
    ledger: Ledger
    tell: Tell
    seed: int
    jobs: list[Submitted] = field(default_factory=list)
    struck: list[Cell] = field(default_factory=list)
    aimed: tuple[PlannedFault, asyncio.Future[tuple[str, list[Hold]]]] | None = None
    calm_s: float = CALM_S
    every_s: float = 0.0
    over: bool = False

    def armed(self, planned: PlannedJob, job_id: str) -> None:
        """Put the holds of the fault that waits for a job, if one does and this job will come to its moment."""
        if self.aimed is None or planned.cut is None or planned.then == "cancel":
            return
        (fault, found), self.aimed = self.aimed, None
        head, tail = planned.cut
        step = (tail if fault.cell.moment is Moment.IN_TAIL else head) // 2
        if not found.done():
            found.set_result((job_id, reach.armed(self.world, fault.cell, job_id, step)))


async def run(
    world: World,
    ledger: Ledger,
    seed: int,
    planned: Iterator[PlannedJob],
    tell: Tell,
    *,
    calm_s: float = CALM_S,
    every_s: float = 0.0,
) -> list[Result]:
    """These jobs, with the faults of `seed` and `calm_s` seconds between two of them; a result for each that struck,
    with the jobs that came in its time. No two jobs come within `every_s` seconds."""
    storm = Storm(world, ledger, tell, seed, calm_s=calm_s, every_s=every_s)
    async with asyncio.TaskGroup() as both:
        both.create_task(_strike(storm, plan.faults(seed)))
        await _load(storm, planned)
        storm.over = True
    await world.restore()
    return await _judged(storm)


async def _load(storm: Storm, planned: Iterator[PlannedJob]) -> None:
    """Keep at most `IN_FLIGHT` jobs under way until there are no more."""
    turn = asyncio.Lock()

    async def one_after_another() -> None:
        for job in planned:
            async with turn:
                await asyncio.sleep(storm.every_s)
            await _one(storm, job)

    async with asyncio.TaskGroup() as group:
        for _ in range(IN_FLIGHT):
            group.create_task(one_after_another())


async def _one(storm: Storm, planned: PlannedJob) -> None:
    """Submit it, do what it is there for, and see it to its end."""
    spec, bus = spec_of(planned, f"storm-{storm.seed}-{planned.number}"), storm.world.bus
    job_id = client.id_of(spec.idempotency_key or "")
    storm.armed(planned, job_id)
    await _surely(lambda: client.submit(bus, spec))
    storm.jobs.append(Submitted(planned, job_id, len(storm.struck)))
    if planned.then == "again" and not planned.expires:
        await _surely(lambda: client.submit(bus, spec))
    elif planned.then == "cancel":
        await asyncio.sleep(planned.after_s)
        with contextlib.suppress(errors.NotFound):  # it had ended, and has removed itself
            await _surely(lambda: client.cancel(bus, job_id))
    await storm.ledger.until(storm.ledger.ended, job_id, DEADLINE_S)


async def _surely(call: Callable[[], Any]) -> None:
    """Call again while the bus is away: that is what idempotency keys are for. Raises Waited in the end."""
    give_up = time.monotonic() + DEADLINE_S
    while True:
        try:
            await call()
            return
        except (errors.BusUnavailable, errors.Waited, errors.NoResponder, errors.Busy) as error:
            if time.monotonic() > give_up:
                raise errors.Waited(f"the bus ({error})", DEADLINE_S) from error
            await asyncio.sleep(0.2)


def spec_of(planned: PlannedJob, key: str) -> RelayJobSpec:
    """What the job asks for."""
    body: dict[str, Any] = {
        "prompt": references.PROMPT,
        "seed": planned.seed,
        "images": planned.images,
        "preference": planned.preference,
        "idempotencyKey": key,
        "ttlSecondsAfterFinished": TTL_S if planned.expires else None,
        "backoffLimit": 20,
    }
    if planned.cut is not None:
        body["relay"] = references.relay(*planned.cut)
    return RelayJobSpec.model_validate(body)


async def _strike(storm: Storm, planned: Iterator[PlannedFault]) -> None:
    """Strike until the load is over."""
    for fault in planned:
        if storm.over:
            return
        await asyncio.sleep(storm.calm_s)
        if await _struck(storm, fault):
            storm.struck.append(fault.cell)
            storm.tell(f"{len(storm.jobs)} jobs; {cells.said(fault.cell)}")


async def _struck(storm: Storm, fault: PlannedFault) -> bool:
    """Whether a job came to that moment, and the fault struck."""
    found: asyncio.Future[tuple[str, list[Hold]]] = asyncio.get_running_loop().create_future()
    storm.aimed = (fault, found)
    holds: list[Hold] = []
    try:
        async with asyncio.timeout(REACH_S):
            job_id, holds = await found
        hold = await reach.first(holds, REACH_S)
        victim = reach.victim(storm.world, fault.cell, hold)
        await strike(Hit(storm.world, storm.ledger, fault.cell, job_id, victim, hold))
        return True
    except (TimeoutError, errors.Waited):
        return False
    finally:
        storm.aimed = None
        for each in holds:
            each.let_go()
        await storm.world.restore()


async def _judged(storm: Storm) -> list[Result]:
    """Hold every job against the same one undisturbed, and lay what is wrong to the fault in whose time it came."""
    ids = {job.job_id for job in storm.jobs}
    await storm.ledger.until_all(storm.ledger.final, ids - storm.ledger.gone.keys(), DEADLINE_S)
    storm.tell(f"{len(storm.jobs)} jobs and {len(storm.struck)} faults are over; making the pictures undisturbed")
    known = await references.Known.of(storm.world.bus, storm.ledger)
    wanted = [await _wanted(storm, job, known) for job in storm.jobs] + known.wanted
    verdict = await snapshot.settled(storm.world.bus, lambda: wanted, storm.world.temporary, seen=storm.ledger.seen)
    return results(storm.struck, storm.jobs, verdict)


async def _wanted(storm: Storm, job: Submitted, known: references.Known) -> Wanted:
    states = DONE_OR_CANCELLED if job.planned.then == "cancel" else DONE
    seed, images, cut = job.planned.seed, job.planned.images, job.planned.cut
    digest = await (known.chosen(job.job_id, seed, images) if cut is None else known.fixed(seed, images, cut))
    return Wanted(job.job_id, digest, states, gone=job.planned.expires)


def results(struck: list[Cell], jobs: list[Submitted], verdict: Verdict) -> list[Result]:
    """One for each fault, and one for what came before the first."""
    when = {job.job_id: job.during for job in jobs}
    counts = Counter(when.values())

    def of(lines: tuple[str, ...], place: int) -> tuple[str, ...]:
        """Complaints about jobs of that time; those that name no job go to the last."""
        return tuple(line for line in lines if when.get(line.partition(":")[0], len(struck)) == place)

    found = []
    for place, cell in enumerate([NO_FAULT, *struck]):
        lost, twice, hung = (of(lines, place) for lines in (verdict.lost, verdict.duplicated, verdict.hung))
        left = (*lost, *twice, *hung, *of(verdict.left, place))
        found.append(Result(cell, counts[place], len(lost), len(twice), len(hung), left))
    return found
