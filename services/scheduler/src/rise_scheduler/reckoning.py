"""Dead reckoning: what the jobs that were sent a moment ago have left to do, until heartbeats tell of them.

Without it every job of a burst goes to the worker that was idle at its last heartbeat. A stage is believed to begin and
to end when its decision said; so an entry is over by itself, whether or not its outcome is seen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """The stages that this process sent."""

    def __init__(self) -> None:
        self._sent: list[Sent] = []

    def note(self, record: DecisionRecord) -> None:
        """Take in a decision."""
        self._sent = [*self._sent, *stages_sent(record)][-KEPT:]

    def over(self, decision_id: str) -> None:
        """The job of a decision has ended, or was given up."""
        self._sent = [sent for sent in self._sent if sent.decision_id != decision_id]

    def backlogs(self, now: float) -> dict[str, float]:
        """Seconds of work left by pool, if one worker did it all. A clock that steps back makes nothing longer than it
        was."""
        self._sent = [sent for sent in self._sent if sent.ends > now]
        left: dict[str, float] = {}
        for sent in self._sent:
            left[sent.pool] = left.get(sent.pool, 0.0) + sent.ends - max(now, sent.begins)
        return left


def stages_sent(record: DecisionRecord) -> Sequence[Sent]:
    """When each stage of a decision should run, by its own forecast; nothing where that is unknown."""
    basis, at, found = record.basis, record.at, []
    if basis is None:
        return ()
    moves = (0.0, *basis.moves)
    for stage, seconds, wait, move in zip(
        record.decision.configuration.stages, basis.stage_seconds, basis.waits, moves, strict=True
    ):
        if seconds is None:
            return ()
        begins = at + move + wait
        at = begins + seconds
        found.append(Sent(record.decision.id, stage.pool, begins, at))
    return found
