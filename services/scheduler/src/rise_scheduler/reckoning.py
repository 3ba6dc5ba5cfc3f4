"""Dead reckoning: what the jobs that were sent a moment ago have left to do, until heartbeats tell of them.

Without it every job of a burst goes to the worker that was idle at its last heartbeat. A stage is believed to begin and
to end when its decision said; so an entry is over by itself, whether or not its outcome is seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rise_contracts.decisions import DecisionRecord

KEPT = 4096


@dataclass(frozen=True, slots=True)
class Sent:
    """A stage under way: its pool, and when it begins and ends (Unix seconds)."""

    decision_id: str
    pool: str
    begins: float
    ends: float


class Reckoning:
    """The stages that this process sent: the last ``KEPT``, in arrays, for they are summed at every decision."""

    def __init__(self) -> None:
        self._begins, self._ends = np.zeros(KEPT), np.zeros(KEPT)
        self._pool, self._pools = np.zeros(KEPT, dtype=np.intp), dict[str, int]()
        self._owner, self._slots = [""] * KEPT, dict[str, list[int]]()
        self._next = 0

    def note(self, record: DecisionRecord) -> None:
        """Take in a decision."""
        for sent in stages_sent(record):
            slot, self._next = self._next, (self._next + 1) % KEPT
            self._begins[slot], self._ends[slot] = sent.begins, sent.ends
            self._pool[slot] = self._pools.setdefault(sent.pool, len(self._pools))
            self._owner[slot] = sent.decision_id
            self._slots.setdefault(sent.decision_id, []).append(slot)
        while len(self._slots) > KEPT:
            del self._slots[next(iter(self._slots))]

    def over(self, decision_id: str) -> None:
        """The job of a decision has ended, or was given up."""
        for slot in self._slots.pop(decision_id, ()):
            if self._owner[slot] == decision_id:  # else a younger stage has its place
                self._ends[slot] = 0.0

    def backlogs(self, now: float) -> dict[str, float]:
        """Seconds of work left by pool, if one worker did it all. A clock that steps back makes nothing longer than it
        was."""
        left = np.maximum(self._ends - np.maximum(self._begins, now), 0.0)
        totals = np.bincount(self._pool, weights=left, minlength=len(self._pools))
        return {pool: float(totals[place]) for pool, place in self._pools.items() if totals[place] > 0}


def stages_sent(record: DecisionRecord) -> Sequence[Sent]:
    """When each stage of a decision should run, by its own forecast; nothing where that is unknown."""
    basis, at, found = record.basis, record.at, []
    if basis is None:
        return ()
    stages, moves = record.decision.configuration.stages, (0.0, *basis.moves)
    loads = basis.loads or (0.0,) * len(stages)
    for stage, seconds, wait, move, load in zip(stages, basis.stage_seconds, basis.waits, moves, loads, strict=True):
        if seconds is None:
            return ()
        begins = at + move + wait
        at = begins + load + seconds
        found.append(Sent(record.decision.id, stage.pool, begins, at))
    return found
