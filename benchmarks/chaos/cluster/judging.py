"""Holding a world against what was wanted of it: what the API server says, and what the bus holds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from benchmarks.chaos import snapshot
from benchmarks.chaos.cluster import verdicts
from benchmarks.chaos.cluster.makeup import HOME, JOBS
from benchmarks.chaos.cluster.moments import PROMPT, Asked
from benchmarks.chaos.cluster.verdicts import Expected
from benchmarks.chaos.cluster.world import World
from benchmarks.chaos.invariants import DONE, DONE_OR_CANCELLED, Verdict, Wanted
from benchmarks.chaos.ledger import Ledger
from rise_operator.api import EVENTS, PODS
from rise_operator.seen import JOB_UID_LABEL

PATIENCE_S: Final = 120.0
"""For a job to end, whatever struck it."""
SETTLE_S: Final = 20.0
"""After the end of a job, for what follows it."""
KINDS: Final = ("lost", "duplicated", "hung", "left")
_LOOK_S: Final = 0.2


def judged(
    world: World,
    ledger: Ledger,
    wanted: Sequence[tuple[Asked, bool]],
    digests: Mapping[str, str],
    patience: float = PATIENCE_S,
    settle: float = SETTLE_S,
) -> Verdict:
    """The verdict of both, as soon as nothing is wrong, or at the end of `patience` for the jobs and `settle` for the
    rest. `wanted`: all jobs there were, and whether each was deleted; `digests` of their pictures, by name."""
    _until(lambda: not told(world, wanted, digests).hung, patience)
    expected = [
        Wanted(job.job_id, digests[job.name], DONE_OR_CANCELLED if gone else DONE, gone=gone) for job, gone in wanted
    ]
    settled = snapshot.settled(world.bus, lambda: expected, seen=ledger.seen, patience=settle)
    on_bus = world.wires.call(settled, settle + PATIENCE_S)
    _until(lambda: told(world, wanted, digests).right, settle)
    return both(told(world, wanted, digests), on_bus)


def told(world: World, wanted: Sequence[tuple[Asked, bool]], digests: Mapping[str, str]) -> Verdict:
    """By the API server alone."""
    stories = world.chronicle.stories
    jobs = [Expected(job.name, digests[job.name], gone) for job, gone in wanted]
    pods = world.ask("GET", PODS, None)["items"]
    events = [each for space in (HOME, JOBS) for each in world.ask("GET", EVENTS, space)["items"]]
    going = [story.uid for story in stories.values() if story.gone is None and story.end is None]
    return Verdict(
        tuple(line for job in jobs for line in verdicts.lost(stories, job)),
        tuple(line for job in jobs for line in verdicts.duplicated(stories, job)),
        tuple(line for job in jobs for line in verdicts.hung(stories, job)),
        (*verdicts.orphans(pods, going, JOB_UID_LABEL), *verdicts.told(events, PROMPT), *world.tells(PROMPT)),
    )


def both(one: Verdict, other: Verdict) -> Verdict:
    """What either complains of; the same words once."""
    found = [tuple(dict.fromkeys(getattr(one, kind) + getattr(other, kind))) for kind in KINDS]
    lost, duplicated, hung, left = found
    return Verdict(lost, duplicated, hung, left)


def _until(holds: Callable[[], bool], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not holds() and time.monotonic() < give_up:
        time.sleep(_LOOK_S)
