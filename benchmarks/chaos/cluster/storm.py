"""The random run of this door: RelayJobs at a steady pace, and a cell of the matrix every few seconds, all of it from
one seed. Some jobs are deleted in mid-run, some put aside and taken up again."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final, Literal

from benchmarks.chaos.cluster import cells, matrix, moments
from benchmarks.chaos.cluster.faults import Hit, strike
from benchmarks.chaos.cluster.judging import judged
from benchmarks.chaos.cluster.makeup import JOBS
from benchmarks.chaos.cluster.matrix import Stage, Tell
from benchmarks.chaos.cluster.moments import Asked, asked
from benchmarks.chaos.invariants import Verdict
from benchmarks.chaos.words import Cell, Door, Moment, Result
from rise_contracts import errors
from rise_operator.api import RELAY_JOBS
from tests.kube.api import MERGE, Json, Refused, Unreachable

COUNT: Final = 400
PACE_S: Final = 0.75
"""Between two jobs."""
CALM_S: Final = 2.0
"""Between two faults, once everybody is back."""
DEADLINE_S: Final = 240.0
AGAIN_S: Final = 0.2
SEEDS: Final = (3, 5, 7, 11)
"""Of the noise. Few, so that every picture is also made undisturbed."""
WEIGHTS: Final = {cells.KILLED: 8, cells.SPOKEN: 3, cells.STARTED_AGAIN: 3, cells.FROZEN: 3, cells.STOPPED: 3}
NO_FAULT: Final = Cell("none", "nobody", Moment.BEFORE_DECISION, Door.RELAY_JOB)
DONE_ALREADY: Final = {"POST": 409, "DELETE": 404}
"""By which answer it is known that a request whose own answer was lost had been heard."""
Then = Literal["nothing", "delete", "suspend"]


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job; `then`: it is deleted, or put aside for a moment, `after_s` seconds after it was taken."""

    job: Asked
    seed: int
    then: Then
    after_s: float


def jobs(seed: int) -> Iterator[PlannedJob]:
    """As many as are wanted. Pure: the same seed gives the same."""
    draw, number = random.Random(f"jobs {seed}"), 0
    while True:
        noise = draw.choice(SEEDS)
        then: Then = draw.choices(("nothing", "delete", "suspend"), (85, 8, 7))[0]
        yield PlannedJob(asked(f"storm-{number}", seed=noise, backoffLimit=20), noise, then, draw.uniform(0.0, 0.6))
        number += 1


def faults(seed: int) -> Iterator[Cell]:
    """As many as there is time for: of the matrix's own cells, those that last for seconds and hit what can be hit
    among other jobs. Pure."""
    draw = random.Random(f"faults {seed}")
    choices: dict[str, dict[str, list[Cell]]] = {}
    for cell in cells.cells():
        if cell.fault in WEIGHTS and cell.moment is not Moment.IN_DELETION:
            choices.setdefault(cell.fault, {}).setdefault(cell.target, []).append(cell)
    while True:
        targets = choices[draw.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]]
        yield draw.choice(targets[draw.choice(list(targets))])


@dataclass(slots=True)
class Storm:
    """A run as it goes. `during`: by job, how many faults had struck when it was taken."""

    on: Stage
    tell: Tell
    taken: list[PlannedJob] = field(default_factory=list)
    during: dict[str, int] = field(default_factory=dict)
    struck: list[Cell] = field(default_factory=list)
    waits: list[float | None] = field(default_factory=list)

    def take(self, planned: PlannedJob) -> None:
        self.taken.append(planned)
        self.during[planned.job.name] = self.during[planned.job.job_id] = len(self.struck)


def run(on: Stage, seed: int, tell: Tell, count: int = COUNT) -> list[Result]:
    """`count` jobs; a result for each fault that struck, with the jobs that came in its time."""
    digests = {noise: matrix.digest(on, noise) for noise in SEEDS}
    storm = Storm(on, tell)
    loading = on.world.wires.begin(_load(storm, list(islice(jobs(seed), count))))
    for number, cell in enumerate(faults(seed)):
        if loading.done():
            break
        time.sleep(CALM_S)
        _struck(storm, cell, number)
    loading.result()
    on.world.restore()
    wanted = [(each.job, each.then == "delete") for each in storm.taken]
    expected = {each.job.name: digests[each.seed] for each in storm.taken}
    return results(storm, judged(on.world, on.ledger, wanted, expected, DEADLINE_S))


async def _load(storm: Storm, planned: Sequence[PlannedJob]) -> None:
    """One job after the other at its pace, each seen to its end."""
    async with asyncio.TaskGroup() as group:
        for each in planned:
            group.create_task(_one(storm, each))
            await asyncio.sleep(PACE_S)


async def _one(storm: Storm, planned: PlannedJob) -> None:
    name, path = planned.job.name, RELAY_JOBS.path(JOBS, planned.job.name)
    body = {"apiVersion": RELAY_JOBS.version, "kind": "RelayJob", "metadata": {"name": name}, "spec": planned.job.spec}
    await _surely(storm, "POST", RELAY_JOBS.path(JOBS), body)
    storm.take(planned)
    await asyncio.sleep(planned.after_s)
    if planned.then == "delete":
        await _surely(storm, "DELETE", path)
    elif planned.then == "suspend":
        for suspend in (True, False):
            await _surely(storm, "PATCH", path, {"spec": {"suspend": suspend}})
            await asyncio.sleep(planned.after_s)


async def _surely(storm: Storm, method: str, path: str, body: Json | None = None) -> None:
    """Ask again while the API server is away; what was done by a request whose answer was lost is done. Raises Waited
    in the end."""
    give_up = time.monotonic() + DEADLINE_S
    while time.monotonic() < give_up:
        try:
            await storm.on.world.api.call(method, path, body, MERGE if method == "PATCH" else "application/json")
            return
        except Refused as error:
            if DONE_ALREADY.get(method) == error.status:
                return
            storm.tell(f"{method} {path}: {error}")
        except Unreachable:
            pass
        await asyncio.sleep(AGAIN_S)
    raise errors.Waited(f"{method} {path}", DEADLINE_S)


def _struck(storm: Storm, cell: Cell, number: int) -> None:
    """Strike at a job of the storm's own that is brought to the moment among the others."""
    world = storm.on.world
    planned = PlannedJob(
        asked(f"struck-{number}", seed=SEEDS[0], backoffLimit=20),
        SEEDS[0],
        "delete" if cell.fault == cells.DELETED else "nothing",
        0.0,
    )
    leader = world.leader()
    armed = moments.armed(world, cell, planned.job, leader)
    try:
        world.until(lambda: world.submit(planned.job.name, planned.job.spec), DEADLINE_S, "the API server to answer")
        storm.take(planned)
        began = time.monotonic()
        try:
            met = moments.first(world, armed)
        except errors.Waited:
            return  # among so many jobs one may not come to its moment in time
        hit = Hit(world, cell, planned.job, met, leader, lambda: matrix.end_of(storm.on, planned.job) is not None)
        storm.struck.append(cell)
        back, end = strike(hit), matrix.end_of(storm.on, planned.job)
        wait = None if end is None else max(0.0, end - (back or began + storm.on.calm.seconds))
        storm.waits.append(wait)
        storm.tell(f"{len(storm.taken)} jobs; {cells.said(cell)}" + ("" if wait is None else f", {wait:.2f} s"))
    finally:
        for each in armed:
            world.wires.do(each.hold.let_go)
        world.restore()


def results(storm: Storm, verdict: Verdict) -> list[Result]:
    """One for each fault, and one for what came before the first."""
    place_of, count = storm.during, len(storm.struck)
    counts = Counter(place_of[each.job.name] for each in storm.taken)

    names = {each.job.job_id: each.job.name for each in storm.taken}

    def jobs_in(lines: tuple[str, ...]) -> set[str]:
        """The jobs that are complained of, each once: the API server and the bus name it in their own ways."""
        said = (line.partition(":")[0] for line in lines)
        return {names.get(name, name) for name in said}

    def of(lines: tuple[str, ...], place: int) -> tuple[str, ...]:
        """Complaints about jobs of that time; those that name no job go to the last."""
        return tuple(line for line in lines if place_of.get(line.partition(":")[0], count) == place)

    found = []
    for place, cell in enumerate([NO_FAULT, *storm.struck]):
        lost, twice, hung = (of(lines, place) for lines in (verdict.lost, verdict.duplicated, verdict.hung))
        left = (*lost, *twice, *hung, *of(verdict.left, place))
        several = (len(jobs_in(lost)), len(jobs_in(twice)), len(jobs_in(hung)))
        found.append(Result(cell, counts[place], *several, left=left))
    waits = (None, *storm.waits)
    return [replace(each, recovery_s=wait) for each, wait in zip(found, waits, strict=True)]
