"""Each moment as messages on a wire: whose, and which, in their order. The last of them is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.chaos.wire import Match, Said
from benchmarks.chaos.words import Moment
from rise_contracts import codec, errors, messages, subjects
from rise_contracts.records import JobRecord, JobState

EDGE, DEVICE, DRIVER, SCHEDULER = "edge worker", "device worker", "driver", "scheduler"


@dataclass(frozen=True, slots=True)
class Sign:
    """By what a moment is known: `whose` process says it, and what. `step`: of the stage, where it is one."""

    whose: str
    until: tuple[Match, ...]


WHOSE: Final[Mapping[Moment, str]] = {
    Moment.BEFORE_DECISION: DRIVER,
    Moment.BEFORE_DISPATCH: DRIVER,
    Moment.IN_HEAD: EDGE,
    Moment.LATENT_STORED: EDGE,
    Moment.IN_TAIL: DEVICE,
    Moment.RESULT_STORED: DEVICE,
    Moment.WRITING_STATUS: DRIVER,
    Moment.IN_DELETION: DRIVER,
}


def sign(moment: Moment, target: str, job_id: str, step: int) -> Sign:
    """The sign of a moment in the life of a job of two stages. `step` is the one in head or tail after which it is.

    Where the scheduler is the target, "before the decision" is its answer: it has decided, and nobody knows.
    """
    if moment is Moment.BEFORE_DECISION and target == SCHEDULER:
        return Sign(SCHEDULER, (lambda said: said.subject.startswith("_INBOX.") and _in(job_id, said.payload),))
    match moment:
        case Moment.BEFORE_DECISION:
            until: tuple[Match, ...] = (lambda said: said.subject == subjects.CONFIGURE and _in(job_id, said.payload),)
        case Moment.BEFORE_DISPATCH:
            until = (lambda said: _of(said, "rise.work.", job_id),)
        case Moment.IN_HEAD:
            until = (lambda said: _is_step(said, job_id, 0, step),)
        case Moment.LATENT_STORED:
            until = (lambda said: _of(said, "rise.work.", job_id), _is_ack)
        case Moment.IN_TAIL:
            until = (lambda said: _is_step(said, job_id, 1, step),)
        case Moment.RESULT_STORED:
            until = (lambda said: _is_result(said, job_id), _is_ack)
        case Moment.WRITING_STATUS:
            until = (lambda said: _is_status(said, job_id),)
        case Moment.IN_DELETION:
            until = (lambda said: _of(said, _RESULTS, job_id) and b"KV-Operation" in said.headers,)
    return Sign(WHOSE[moment], until)


_RESULTS: Final = f"$KV.{subjects.KV_RESULTS}."
_JOBS: Final = f"$KV.{subjects.KV_JOBS}."


def _in(job_id: str, payload: bytes) -> bool:
    return f'"{job_id}"'.encode() in payload


def _of(said: Said, prefix: str, job_id: str) -> bool:
    return said.subject.startswith(prefix) and job_id in said.subject.split(".")


def _is_ack(said: Said) -> bool:
    return said.subject.startswith(f"$JS.ACK.{subjects.WORK_STREAM_PREFIX}") and said.payload == b"+ACK"


def _is_step(said: Said, job_id: str, stage: int, step: int) -> bool:
    if not _of(said, "rise.progress.", job_id):
        return False
    event, _ = codec.decode_event(said.payload)
    return isinstance(event, messages.StageProgress) and (event.stage, event.step) == (stage, step)


def _is_result(said: Said, job_id: str) -> bool:
    """Stored by the worker itself, or offered to those who may store it."""
    offered = _of(said, "rise.offers.", job_id) and said.subject.endswith(".job-done")
    return offered or _of(said, _RESULTS, job_id)


def _is_status(said: Said, job_id: str) -> bool:
    if not _of(said, _JOBS, job_id) or not said.payload:
        return False
    try:
        return codec.decode(JobRecord, said.payload).state is JobState.RUNNING
    except errors.InvalidInput:
        return False
