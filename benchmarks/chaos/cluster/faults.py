"""The faults of this door, each done while the job's message is held by some tap.

A fault returns once it is over. What it returns is the time from which recovery counts where that is not the strike:
of what was away on purpose for a while, from when it was back.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from benchmarks.chaos.cluster import cells
from benchmarks.chaos.cluster.makeup import JOBS, OPERATORS
from benchmarks.chaos.cluster.moments import Asked, Met, asked
from benchmarks.chaos.cluster.pods import PodWorld
from benchmarks.chaos.cluster.world import World
from benchmarks.chaos.words import Cell, Moment
from rise_operator.api import Kind

PAUSE_S: Final = 60.0
AWAY_S: Final = 3.0
"""A server that is killed is started again after so long, as by a supervisor."""
FROZEN_S: Final = 8.0
"""Longer than a worker keeps a task that it says nothing of, and than anybody waits for the scheduler."""
PATIENCE_S: Final = 120.0
NAMESPACES: Final = Kind("v1", "namespaces", namespaced=False)


@dataclass(slots=True)
class Hit:
    """A job at the moment of its cell. `over` says whether it has ended (or is gone, where it was deleted); `victims`
    are the processes to strike; `complaints` is what the fault itself found wrong; `more` are jobs that it made."""

    world: World
    cell: Cell
    job: Asked
    met: Met
    leader: str
    over: Callable[[], bool]
    complaints: list[str] = field(default_factory=list)
    more: list[Asked] = field(default_factory=list)

    @property
    def victims(self) -> Sequence[str]:
        """Of workers the one that holds the job, else the first."""
        standby = [name for name in OPERATORS if name != self.leader]
        own = {cells.LEADER: [self.leader], cells.STANDBY: standby, cells.BOTH: OPERATORS}
        own |= {cells.POD_MAKER: [self.leader]}
        if self.cell.target in own:
            return own[self.cell.target]
        workers = self.world.makeup.workers(self.cell.target)
        if workers:
            return [self.met.whose if self.met.whose in workers else workers[0]]
        return [self.cell.target]

    def let_go(self) -> None:
        self.world.wires.do(self.met.hold.let_go)

    def drop(self) -> None:
        """What a victim had on its tongue is lost with it; the message of somebody else is not."""
        self.world.wires.do(self.met.hold.drop if self.met.whose in self.victims else self.met.hold.let_go)

    def wait(self) -> None:
        """Until the job is over, if it ever is: that is for the verdict to say."""
        deadline = time.monotonic() + PATIENCE_S
        while not self.over() and time.monotonic() < deadline:
            time.sleep(0.05)


def strike(hit: Hit) -> float | None:
    """Do what the cell says."""
    return _FAULTS[hit.cell.fault, _kind(hit.cell.target)](hit)


def _kind(target: str) -> str:
    own = (cells.SERVER, cells.API, cells.ETCD, cells.JOB, cells.POD_JOB, cells.SPACE, cells.ALL, cells.NODE)
    return target if target in own else "process"


def _kill(hit: Hit) -> float | None:
    for name in hit.victims:
        hit.world.parts[name].child.kill()
    hit.drop()
    return _replaced(hit)


def _kill_as_spoken(hit: Hit) -> float | None:
    for name in hit.victims:
        hit.world.parts[name].child.kill()
    hit.let_go()
    return _replaced(hit)


def _kill_and_start(hit: Hit) -> float | None:
    """As the container of a pod that stays: under the same name."""
    for name in hit.victims:
        hit.world.parts[name].child.kill()
    hit.drop()
    for name in hit.victims:
        hit.world.parts[name].child.start()
    hit.wait()
    return None


def _starve(hit: Hit) -> float | None:
    """Let the kernel end it for want of memory. Raises RuntimeError where it ends otherwise."""
    (victim,) = hit.victims
    hit.world.starve(victim)
    hit.drop()
    return _replaced(hit)


def _stop(hit: Hit) -> float | None:
    """SIGTERM: it says what it still has to say."""
    for name in hit.victims:
        hit.world.parts[name].child.signal(signal.SIGTERM)
    hit.let_go()
    for name in hit.victims:
        hit.world.ended(name)
    return _replaced(hit)


def _replaced(hit: Hit) -> float | None:
    """Operators and workers have others that take over: they stay away until the job is over. A scheduler has none
    where a decision waits for it."""
    if hit.cell.target == cells.BOTH:
        # Without any operator nothing is told: a running job ends on the bus all the same.
        time.sleep(AWAY_S)
        for name in hit.victims:
            hit.world.start_again(name)
        back = time.monotonic()
        hit.wait()
        return back
    if hit.cell.target == cells.SCHEDULER and hit.cell.moment is Moment.BEFORE_DECISION:
        hit.world.parts[cells.SCHEDULER].child.start()
    hit.wait()
    return None


def _freeze(hit: Hit) -> float | None:
    """SIGSTOP, until others do the work; then what was on its tongue comes late, and at last it wakes up."""
    (victim,) = hit.victims
    part, is_leader = hit.world.parts[victim], victim == hit.leader
    part.freeze()
    own = hit.met.whose == victim
    if not own:
        hit.let_go()
    if is_leader:
        hit.world.until(lambda: hit.world.leader() not in ("", victim), PATIENCE_S, "the other operator to lead")
    else:
        time.sleep(max(FROZEN_S, hit.world.makeup.lease_s + 2.0 if victim in OPERATORS else 0.0))
    if own:
        hit.let_go()
    if victim == cells.SCHEDULER:
        part.wake()
        back = time.monotonic()
        hit.wait()
        return back if hit.cell.moment is Moment.BEFORE_DECISION else None
    hit.wait()
    woken = time.monotonic()
    part.wake()
    if is_leader:
        _is_over(hit, victim, woken)
    return None


def _is_over(hit: Hit, victim: str, woken: float) -> None:
    """A leader that wakes up when another leads must end, and change nothing before."""
    part = hit.world.parts[victim]
    hit.world.ended(victim)
    assert part.api is not None
    late = [done for at, done in part.api.changed if at > woken]
    hit.complaints += [f"{victim}, which led no more, did {done.method} {done.path}" for done in late]


def _away(kill: Callable[[World], None], back: Callable[[World], None], seconds: float) -> Callable[[Hit], float]:
    def strike(hit: Hit) -> float:
        kill(hit.world)
        hit.let_go()
        time.sleep(seconds)
        back(hit.world)
        over = time.monotonic()
        hit.world.supervise()
        hit.wait()
        return over

    return strike


def _delete(hit: Hit) -> None:
    hit.world.delete(hit.job.name)
    hit.let_go()
    hit.wait()


def _delete_space(hit: Hit) -> None:
    """The namespace with all that is in it; there is one of the name again when it is gone."""
    hit.world.ask("DELETE", NAMESPACES, None, JOBS)
    hit.let_go()
    hit.world.until(lambda: hit.world.is_gone(NAMESPACES, JOBS), PATIENCE_S, f"the namespace {JOBS} to be gone")
    hit.world.ask("POST", NAMESPACES, None, body={"metadata": {"name": JOBS}})
    hit.wait()


def _lose_node(lose: Callable[[PodWorld, str], None], hit: Hit) -> None:
    """The node with the edge pool's one pod: the pool's next one is made where there is a node."""
    world = hit.world
    assert isinstance(world, PodWorld), "only there are nodes"
    pod = world.pod_of("edge")
    lose(world, pod.node)
    hit.let_go()
    world.until(lambda: world.pod_of("edge").name not in ("", pod.name), PATIENCE_S, f"another pod than {pod.name}")
    hit.wait()


def _roll(hit: Hit) -> None:
    """SIGTERM to each process in turn, the next one when the one before is ready again, and jobs all the while."""
    hit.let_go()
    for name, part in hit.world.parts.items():
        job = asked(f"{hit.job.name}-{name}")
        hit.more.append(job)
        hit.world.submit(job.name, job.spec)
        part.child.signal(signal.SIGTERM)
        hit.world.ended(name)
        hit.world.start_again(name)
    hit.wait()


_FAULTS: Final[dict[tuple[str, str], Callable[[Hit], float | None]]] = {
    (cells.KILLED, "process"): _kill,
    (cells.SPOKEN, "process"): _kill_as_spoken,
    (cells.STARTED_AGAIN, "process"): _kill_and_start,
    (cells.FROZEN, "process"): _freeze,
    (cells.STOPPED, "process"): _stop,
    (cells.NO_MEMORY, "process"): _starve,
    (cells.KILLED, cells.SERVER): _away(lambda world: world.server.kill(), World.start_server, 1.0),
    (cells.FROZEN, cells.SERVER): _away(
        lambda world: world.server.signal(signal.SIGSTOP),
        lambda world: world.server.signal(signal.SIGCONT),
        FROZEN_S,
    ),
    (cells.KILLED, cells.API): _away(lambda world: world.plane.kill_api(), lambda world: world.plane.restore(), AWAY_S),
    (cells.PAUSED, cells.API): _away(
        lambda world: world.plane.pause_api(), lambda world: world.plane.restore(), PAUSE_S
    ),
    (cells.KILLED, cells.ETCD): _away(
        lambda world: world.plane.kill("etcd"), lambda world: world.plane.restore(), AWAY_S
    ),
    (cells.DELETED, cells.JOB): _delete,
    (cells.DELETED, cells.POD_JOB): _delete,
    (cells.DELETED, cells.SPACE): _delete_space,
    (cells.ROLLED, cells.ALL): _roll,
    (cells.SILENT, cells.NODE): partial(_lose_node, PodWorld.fail),
    (cells.KILLED, cells.NODE): partial(_lose_node, PodWorld.kill),
}
