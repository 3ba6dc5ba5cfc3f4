"""One cell after the other: bring a job to the moment, strike, wait, judge."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos import ledger, memory
from benchmarks.chaos.cluster import cells, moments
from benchmarks.chaos.cluster.faults import Hit, strike
from benchmarks.chaos.cluster.judging import PATIENCE_S, SETTLE_S, both, judged
from benchmarks.chaos.cluster.makeup import JOBS, Makeup
from benchmarks.chaos.cluster.moments import Asked, asked
from benchmarks.chaos.cluster.pods import PodWorld
from benchmarks.chaos.cluster.world import World
from benchmarks.chaos.invariants import Verdict
from benchmarks.chaos.words import RUNNING_JOB, Cell, Door, Moment, Result
from rise_contracts import errors
from rise_operator.api import RELAY_JOBS
from rise_runtime.jobs import Jobs
from tests.kube.api import Refused, Unreachable

RUNS: Final = 3
_AT_WORK: Final = (Moment.IN_HEAD, Moment.LATENT_STORED, Moment.IN_TAIL, Moment.RESULT_STORED)
_ABSENT: Final = (cells.LEADER, cells.STANDBY, cells.BOTH, cells.API, cells.ETCD)
"""Without them a running job has to go on."""
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a job is when it is left alone: its digest; seconds from its making to the final status, to the ending on
    the bus, and from its deletion in its head to the end of its record."""

    digest: str = ""
    seconds: float = 0.0
    ended_s: float = 0.0
    gone_s: float = 0.0


@dataclass(slots=True)
class Stage:
    """A world with its measure. `wanted` are the jobs there are, and whether each was deleted."""

    world: World
    ledger: ledger.Ledger
    calm: Undisturbed = Undisturbed()
    wanted: list[tuple[Asked, bool]] = field(default_factory=list)
    count: int = 0

    def named(self, word: str, **more: Any) -> Asked:
        """A new job."""
        self.count += 1
        return asked(f"{word}-{self.count}", **more)


@contextlib.contextmanager
def stage(makeup: Makeup, folder: Path) -> Iterator[Stage]:
    """A world that is ready for cells."""
    world = PodWorld(folder, makeup) if makeup.stage == "pods" else World(folder, makeup)
    try:
        world.start()
        on = Stage(world, world.wires.enter(ledger.followed(world.bus)))
        on.calm = measured(on)
        yield on
    finally:
        world.close()


def measured(on: Stage) -> Undisturbed:
    """The middle of some undisturbed runs. Raises StageFailed where they differ: nothing could be compared then."""
    digests, seconds, ended, gone = set(), [], [], []
    for _ in range(RUNS + 1):
        job = on.named("calm")
        began, end = _calm(on, job)
        digests.add(_digest_of(on, job))
        seconds.append(end - began)
        ended.append(on.ledger.ended[job.job_id] - began)
        gone.append(_gone_after(on))
    if len(digests) != 1:
        raise errors.StageFailed(f"wanted one result of equal jobs, got {sorted(digests)}", reason="NotDeterministic")
    cleared(on)
    # The first one pays for what is loaded at first use.
    return Undisturbed(digests.pop(), *(statistics.median(each[1:]) for each in (seconds, ended, gone)))


def digest(on: Stage, seed: int) -> str:
    """Of the pictures of this seed, undisturbed."""
    job = on.named("calm", seed=seed)
    _calm(on, job)
    found = _digest_of(on, job)
    cleared(on)
    return found


def run(on: Stage, chosen: Iterable[Cell], tell: Tell) -> list[Result]:
    """The results of these cells, in their order; `tell` hears of each."""
    results = []
    for cell in chosen:
        for result in _surely(on, cell):
            tell(line(result))
            results.append(result)
    return results


def _surely(on: Stage, cell: Cell) -> list[Result]:
    """The cell's results; one that does not come to its moment, or to the end of its fault, is wrong by that."""
    try:
        return run_cell(on, cell)
    except (errors.RiseError, TimeoutError, Refused, *Unreachable) as error:
        result = Result(cell, len(on.wanted), hung=1, left=(f"{type(error).__name__}: {error}",))
        on.world.restore()
        cleared(on)
        return [result]


def line(result: Result) -> str:
    """A result in a line, and what is wrong with it below."""
    what = f"lacks {result.lacks}" if result.lacks else "right" if result.right else "WRONG"
    took = "" if result.recovery_s is None else f", {result.recovery_s:.2f} s"
    return f"{cells.said(result.cell)}: {what}{took}" + "".join(f"\n    {each}" for each in result.left)


def run_cell(on: Stage, cell: Cell) -> list[Result]:
    """One cell, and beside it what the job itself noticed where others were struck. The world is whole afterwards."""
    if cell.fault == cells.NO_MEMORY and memory.lacks():
        return [Result(cell, jobs=0, lacks=memory.lacks())]
    more = {"placement": "Dedicated"} if cell.target in cells.DEDICATED else {}
    job, leader, world = on.named("cell", **more), on.world.leader(), on.world
    deleting = cell.moment is Moment.IN_DELETION
    goes = deleting or cell.fault == cells.DELETED
    armed = moments.armed(world, cell, job, leader)
    in_head = moments.armed(world, cell, job, leader, Moment.IN_HEAD) if deleting else []
    try:
        began = submitted(on, job, goes=goes)
        if deleting:
            deleted_at(on, job, in_head)
        met, struck = moments.first(world, armed), time.monotonic()
        hit = Hit(world, cell, job, met, leader, lambda: (_gone if goes else end_of)(on, job) is not None)
        back = strike(hit)
    finally:
        for each in (*armed, *in_head):
            world.wires.do(each.hold.let_go)
        world.restore()
    on.wanted += [(each, False) for each in hit.more]
    recovery = _recovery(on, cell, job, _Times(began, struck, back), goes=goes)
    found = [_result(cell, len(on.wanted) + 1, verdict(on, hit.complaints), recovery)]
    ended = on.ledger.ended.get(job.job_id)
    if cell.target in _ABSENT and cell.moment in _AT_WORK and ended is not None:
        beside = replace(cell, fault=f"{cell.target} {cell.fault}", target=RUNNING_JOB)
        found.append(Result(beside, jobs=0, recovery_s=max(0.0, ended - began - on.calm.ended_s)))
    return found


@dataclass(frozen=True, slots=True)
class _Times:
    """When a job was taken, when its fault struck, and when what was away was back."""

    began: float
    struck: float
    back: float | None


def _recovery(on: Stage, cell: Cell, job: Asked, times: _Times, *, goes: bool) -> float | None:
    """Seconds that the job took longer, or its deletion; None where it never came to that. Where it waits for pods of
    its own only their making counts: how long they start is no affair of the operator's."""
    end = _gone(on, job) if goes else end_of(on, job)
    since = times.struck + on.calm.gone_s if goes else times.began + on.calm.seconds
    if cell.target == cells.POD_MAKER:
        end, since = max(on.world.pods_made(job.name), default=None), times.struck
    return None if end is None else max(0.0, end - (since if times.back is None else times.back))


def submitted(on: Stage, job: Asked, *, goes: bool = False) -> float:
    """Make the job; when it was taken. `goes`: it will be deleted."""
    on.world.until(lambda: on.world.submit(job.name, job.spec), PATIENCE_S, f"the API server to take {job.name}")
    on.wanted.append((job, goes))
    return time.monotonic()


def deleted_at(on: Stage, job: Asked, armed: Sequence[moments.Met]) -> float:
    """Delete the job when the moment of `armed` is there; when that was."""
    met, began = moments.first(on.world, armed), time.monotonic()
    on.world.delete(job.name)
    on.world.wires.do(met.hold.let_go)
    return began


def end_of(on: Stage, job: Asked) -> float | None:
    """When its final status was seen."""
    story = on.world.chronicle.of(job.name)
    return story.end.at if story is not None and story.end is not None else None


def cleared(on: Stage) -> None:
    """No job so far is left for what comes next."""
    for job, _ in on.wanted:
        on.world.delete(job.name)
    on.world.until(lambda: not on.world.ask("GET", RELAY_JOBS, JOBS)["items"], PATIENCE_S, "no RelayJob left")
    on.wanted.clear()


def verdict(on: Stage, complaints: Sequence[str] = (), settle: float = SETTLE_S) -> Verdict:
    """After one more job, which finds whatever does not work any more, and once more after all jobs were deleted."""
    submitted(on, on.named("after"))
    digests = {job.name: on.calm.digest for job, _ in on.wanted}
    before = judged(on.world, on.ledger, on.wanted, digests, settle=settle)
    for job, _ in on.wanted:
        on.world.delete(job.name)
    gone = judged(on.world, on.ledger, [(job, True) for job, _ in on.wanted], digests, settle=settle)
    cleared(on)
    return both(both(before, gone), Verdict(left=tuple(complaints)))


def _result(cell: Cell, jobs: int, verdict: Verdict, recovery_s: float | None) -> Result:
    complaints = (*verdict.lost, *verdict.duplicated, *verdict.hung, *verdict.left)
    counts = (len(verdict.lost), len(verdict.duplicated), len(verdict.hung))
    return Result(cell, jobs, *counts, left=complaints, recovery_s=recovery_s)


def _calm(on: Stage, job: Asked) -> tuple[float, float]:
    """When a job was taken that nothing disturbs, and when it had ended."""
    began = submitted(on, job)
    end = on.world.until(lambda: end_of(on, job), PATIENCE_S, f"the end of {job.name}, which nothing disturbed")
    return began, end


def _digest_of(on: Stage, job: Asked) -> str:
    story = on.world.chronicle.of(job.name)
    assert story is not None
    assert story.end is not None, "it has ended"
    return story.end.digest


def _gone(on: Stage, job: Asked) -> float | None:
    """When neither the API server nor the bus had it any more."""
    story, record = on.world.chronicle.of(job.name), on.ledger.gone.get(job.job_id)
    if story is None or story.gone is None:
        return None
    if record is None and on.world.wires.call(Jobs(on.world.bus).get(job.job_id)) is not None:
        return None
    return max(story.gone, record or 0.0)


def _gone_after(on: Stage) -> float:
    """Seconds from the deletion of a job in its head until all of it is gone."""
    job, cell = on.named("calm"), Cell("none", cells.JOB, Moment.IN_HEAD, Door.RELAY_JOB)
    armed = moments.armed(on.world, cell, job, on.world.leader())
    submitted(on, job, goes=True)
    began = deleted_at(on, job, armed)
    return on.world.until(lambda: _gone(on, job), PATIENCE_S, f"{job.name} to be gone") - began
