"""Each moment in the life of a RelayJob as a message on a wire: whose, and which.

What is said on the bus is as at the other door; the driver of jobs is the operator's leader. Its own last word is a
status for the API server, and its first one, for a job that wants pods of its own, is such a pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from benchmarks.chaos import moments
from benchmarks.chaos.cluster import api_tap, cells
from benchmarks.chaos.cluster.makeup import JOBS
from benchmarks.chaos.cluster.wires import Hold
from benchmarks.chaos.cluster.world import World
from benchmarks.chaos.words import Cell, Moment
from rise_contracts.status import JobCondition
from rise_operator import seen

HEAD, TAIL, STEP = 24, 16, 8
"""Steps of the two stages, and the one in either at which a job is met."""
PROMPT: Final = "a small red circle above a large blue square"


@dataclass(frozen=True, slots=True)
class Asked:
    """A job of the matrix: it is known on the bus before it is made, by its key."""

    name: str
    spec: dict[str, object]

    @property
    def job_id(self) -> str:
        meta = {"namespace": JOBS, "name": self.name, "uid": "-", "resourceVersion": "-"}
        return seen.job({"metadata": meta, "spec": self.spec}).job_id


def asked(name: str, *, seed: int = 7, **more: object) -> Asked:
    """A relay of two stages with all of its numbers fixed."""
    stages = [{"member": "large", "steps": HEAD, "untilSigma": 0.9}, {"member": "finisher", "steps": TAIL}]
    relay = {"mode": "Fixed", "stages": stages}
    return Asked(name, {"prompt": PROMPT, "seed": seed, "relay": relay, "idempotencyKey": name, **more})


@dataclass(frozen=True, slots=True)
class Met:
    """A hold, and the process whose message it waits for."""

    whose: str
    hold: Hold


def armed(world: World, cell: Cell, job: Asked, leader: str, moment: Moment | None = None) -> list[Met]:
    """A hold at each process that may come to the cell's moment, or to another one."""
    api = world.parts[leader].api
    assert api is not None, "an operator has a tap on the API server"
    moment = moment or cell.moment
    if moment is Moment.WRITING_STATUS:
        return [Met(leader, world.wires.do(partial(api.hold, api_tap.writes_status(job.name, JobCondition.COMPLETE))))]
    if moment is Moment.BEFORE_DECISION and cell.target in cells.DEDICATED:
        return [Met(leader, world.wires.do(partial(api.hold, api_tap.makes_pod(job.name))))]
    sign = moments.sign(moment, cell.target, job.job_id, STEP)
    own = {moments.DRIVER: [leader], moments.SCHEDULER: [moments.SCHEDULER]}
    whose = own.get(sign.whose) or world.makeup.workers(sign.whose)
    return [Met(name, world.wires.do(partial(world.tap(name).hold, *sign.until))) for name in whose]


def first(world: World, armed: Sequence[Met]) -> Met:
    """The one that holds its message; the others wait for nothing any more. Raises Waited."""
    hold = world.wires.first_met([met.hold for met in armed])
    return next(met for met in armed if met.hold is hold)
