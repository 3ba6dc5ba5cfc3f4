"""The faults, each done to a process that is at the moment in question: its message is held by its tap.

A strike returns once the fault is over. What it returns are the seconds for which the bus itself was away from
everybody: they are the fault's, and no part of the recovery from it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from benchmarks.chaos import cells, disk, memory
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.moments import DRIVER, SCHEDULER
from benchmarks.chaos.tap import Hold
from benchmarks.chaos.words import Cell, Moment
from benchmarks.chaos.world import SERVER, Part, World, answering, until
from rise_contracts import errors, subjects
from rise_runtime import streams

SHORT_S: Final = 5.0
LONG_S: Final = 60.0
TRICKLE: Final = 500.0
"""Bytes a second: less than the heartbeats of a few workers."""
TRICKLE_S: Final = 15.0
FULL_S: Final = 5.0
PATIENCE_S: Final = 90.0
_OF_HEAD: Final = (Moment.IN_HEAD, Moment.LATENT_STORED)
_NEEDED: Final = {
    DRIVER: (Moment.BEFORE_DECISION, Moment.BEFORE_DISPATCH, Moment.IN_DELETION),
    SCHEDULER: (Moment.BEFORE_DECISION,),
}
"""When a job gets no further without them. At other moments they stay away until it has ended: it must not notice."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What a strike needs to know: the job is at the cell's moment, and `hold` has its message."""

    world: World
    ledger: Ledger
    cell: Cell
    job_id: str
    victim: str
    hold: Hold

    @property
    def part(self) -> Part:
        return self.world.parts[self.victim]

    @property
    def own(self) -> bool:
        """Whether it is the victim's own message that is held."""
        return self.part.tap is self.hold.tap

    async def over(self, timeout: float = PATIENCE_S) -> bool:
        """Whether the job has ended, or where it is being removed is gone, within that time."""
        times = self.ledger.gone if self.cell.moment is Moment.IN_DELETION else self.ledger.ended
        return await self.ledger.until(times, self.job_id, timeout) is not None


async def strike(hit: Hit) -> float:
    """Do what the cell says."""
    return await _STRIKES[hit.cell.fault](hit)


async def _kill(hit: Hit) -> float:
    await hit.part.kill()
    return await _after_death(hit)


async def _starve(hit: Hit) -> float:
    """Let the kernel end it for want of memory. Raises RuntimeError where it ends otherwise."""
    group = hit.part.group
    if group is None:
        raise errors.NotFound("cgroup", hit.victim, memory.lacks())
    await memory.take_away(group, lambda: not hit.part.running)
    code = await hit.part.ended()
    memory.give_back(group)
    if code != -signal.SIGKILL:
        raise RuntimeError(f"wanted the kernel to kill {hit.victim} for want of memory, got exit code {code}")
    return await _after_death(hit)


async def _after_death(hit: Hit) -> float:
    if hit.own:
        hit.hold.drop()
    else:
        hit.hold.let_go()
    return await _replaced(hit)


async def _stop(hit: Hit) -> float:
    """SIGTERM: it says what it still has to say."""
    hit.part.signal(signal.SIGTERM)
    hit.hold.let_go()
    await hit.part.ended()
    return await _replaced(hit)


async def _replaced(hit: Hit) -> float:
    """Start it anew: at once what a job needs, as a supervisor does, and else when the job has ended without it."""
    if hit.victim == SERVER:
        return await _server_back(hit)
    if hit.cell.moment not in _NEEDED.get(hit.victim, ()):
        await hit.over()
    await hit.part.start()
    return 0.0


async def _server_back(hit: Hit) -> float:
    began = time.monotonic()
    await hit.part.start()
    await until(lambda: _listens(hit.world.url), "nats-server to listen again")
    return time.monotonic() - began


async def _listens(url: str) -> bool:
    host, port = url.removeprefix("nats://").split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return True


async def _freeze(hit: Hit) -> float:
    """Held still for longer than a task waits for its worker. Workers have others beside them; driver and scheduler
    get a second one, which finds the first awake again when it has done its work."""
    began = time.monotonic()
    hit.part.signal(signal.SIGSTOP)
    if hit.victim == SERVER:
        await asyncio.sleep(hit.world.makeup.ack_wait_s + 1.0)
        hit.part.signal(signal.SIGCONT)
        hit.hold.let_go()
        return time.monotonic() - began
    stand_in = hit.world.parts.get(f"{hit.victim}-2")
    if not hit.own:
        hit.hold.let_go()
    if stand_in is not None:
        await stand_in.start()
    await hit.over()
    hit.part.signal(signal.SIGCONT)
    hit.hold.let_go()
    if stand_in is not None:
        await answering(hit.world.bus)
        stand_in.signal(signal.SIGTERM)
        await stand_in.ended()
    elif hit.victim in hit.world.makeup.workers:
        await hit.world.idle(hit.victim)
    return 0.0


def _cut(seconds: float, *, up: bool, down: bool) -> Callable[[Hit], Awaitable[float]]:
    async def cut(hit: Hit) -> float:
        tap = hit.world.tap(hit.victim)
        tap.cut(up=up, down=down)
        hit.hold.let_go()
        await asyncio.sleep(seconds)
        tap.mend()
        return await _mended(hit)

    return cut


async def _trickle(hit: Hit) -> float:
    tap = hit.world.tap(hit.victim)
    tap.slow(TRICKLE)
    hit.hold.let_go()
    await asyncio.sleep(TRICKLE_S)
    tap.mend()
    return await _mended(hit)


async def _mended(hit: Hit) -> float:
    """What came late has arrived: the worker has noticed that it is at nothing any more."""
    await hit.over()
    if hit.victim in hit.world.makeup.workers:
        await hit.world.idle(hit.victim)
    return 0.0


async def _fill(hit: Hit) -> float:
    """No room for whatever is stored, for a while. Who makes room again also starts the server anew: a stream of it
    that has met a full disk takes nothing more (nats-server 2.15)."""
    store = hit.world.makeup.store
    if store is None:
        raise errors.NotFound("disk", hit.victim, disk.lacks())
    began = time.monotonic()
    disk.fill(store.parent)
    hit.hold.let_go()
    await asyncio.sleep(FULL_S)
    disk.empty(store.parent)
    await hit.part.kill()
    await _server_back(hit)
    return time.monotonic() - began


async def _behead(hit: Hit) -> float:
    """Kill the server that leads the stream of the job's work, and start it again when the job is over: two are enough
    for that."""
    bus, pool = hit.world.bus, "edge" if hit.cell.moment in _OF_HEAD else "device"
    info = await streams.api(bus, f"STREAM.INFO.{subjects.work_stream(pool)}")
    leader = hit.world.parts[info["cluster"]["leader"]]
    await leader.kill()
    hit.hold.let_go()
    await hit.over()
    await leader.start()
    await until(lambda: _is_whole(hit.world), "three servers that have caught up")
    return 0.0


async def _is_whole(world: World) -> bool:
    """Whether each copy of each stream is where it was."""
    for name in (await streams.api(world.bus, "STREAM.NAMES"))["streams"] or []:
        cluster = (await streams.api(world.bus, f"STREAM.INFO.{name}"))["cluster"]
        copies = cluster.get("replicas") or []
        if not cluster.get("leader") or not copies or not all(each["current"] for each in copies):
            return False
    return True


async def _nothing(hit: Hit) -> float:
    """The fault is there from the start."""
    hit.hold.let_go()
    return 0.0


async def _roll(hit: Hit) -> float:
    """SIGTERM to each process in turn, the next one when the one before is ready again."""
    hit.hold.let_go()
    away = 0.0
    for name, part in hit.world.parts.items():
        if part.standby or name == SERVER:
            continue
        part.signal(signal.SIGTERM)
        await part.ended()
        await part.start()
        await hit.world.ready()
    server = replace(hit, victim=SERVER)
    server.part.signal(signal.SIGTERM)
    await server.part.ended()
    away += await _server_back(server)
    await hit.over()
    return away


_STRIKES: Final[dict[str, Callable[[Hit], Awaitable[float]]]] = {
    cells.KILLED: _kill,
    cells.STOPPED: _stop,
    cells.NO_MEMORY: _starve,
    cells.FROZEN: _freeze,
    cells.CUT_SHORT: _cut(SHORT_S, up=True, down=True),
    cells.CUT_LONG: _cut(LONG_S, up=True, down=True),
    cells.CUT_UP: _cut(SHORT_S, up=True, down=False),
    cells.CUT_DOWN: _cut(SHORT_S, up=False, down=True),
    cells.SLOW: _trickle,
    cells.FULL: _fill,
    cells.NO_LEADER: _behead,
    cells.AHEAD: _nothing,
    cells.BEHIND: _nothing,
    cells.ROLLED: _roll,
}
