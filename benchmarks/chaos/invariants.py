"""What must be true when a storm is over. Pure: a snapshot of what the bus holds, and what was wanted of each job."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rise_contracts.decisions import DecisionRecord
from rise_contracts.messages import Ending, JobCancelled, JobDone, Outcome
from rise_contracts.records import JobRecord, JobState

DONE: Final = frozenset({JobState.COMPLETE})
DONE_OR_CANCELLED: Final = frozenset({JobState.COMPLETE, JobState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must become of a job. `digest`: of its pictures in an undisturbed run, empty where it was not measured;
    `gone`: it was removed, or removes itself."""

    job_id: str
    digest: str = ""
    states: frozenset[JobState] = DONE
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is there at one moment.

    Attributes:
        told: the endings in the stream of events, of each job in their order.
        subjects: of the messages in each stream, a bucket's keys (by the bucket's name) among them.
        files: what lies in the folders of processes for what is temporary.
    """

    records: Mapping[str, JobRecord] = field(default_factory=dict)
    endings: Mapping[str, Ending] = field(default_factory=dict)
    told: Mapping[str, tuple[Ending, ...]] = field(default_factory=dict)
    outcomes: tuple[Outcome, ...] = ()
    decisions: tuple[DecisionRecord, ...] = ()
    subjects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Complaints by kind, each a line that names its job or thing."""

    lost: tuple[str, ...] = ()
    duplicated: tuple[str, ...] = ()
    hung: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        return not (self.lost or self.duplicated or self.hung or self.left)


def judge(snapshot: Snapshot, wanted: Iterable[Wanted]) -> Verdict:
    """Hold what is there against all that was wanted of the platform since it was empty."""
    jobs = tuple(wanted)
    return Verdict(
        tuple(line for job in jobs for line in lost(snapshot, job)),
        tuple(line for job in jobs for line in duplicated(snapshot, job)),
        tuple(line for job in jobs for line in hung(snapshot, job)),
        tuple(left(snapshot, jobs)),
    )


def lost(snapshot: Snapshot, job: Wanted) -> Iterator[str]:
    """A job that is in no store, that ended otherwise than asked, or whose end the scheduler was not told."""
    record, ending = snapshot.records.get(job.job_id), snapshot.endings.get(job.job_id)
    if not job.gone:
        if record is None:
            yield f"{job.job_id}: accepted, and in no store"
            return
        if record.finished and record.state not in job.states:
            why = f"{record.error.reason}: {record.error.message}" if record.error is not None else "no error"
            yield f"{job.job_id}: wanted {', '.join(sorted(job.states))}, got {record.state} ({why})"
        if record.finished and ending is None:
            yield f"{job.job_id}: {record.state} with no ending stored"
    decided = [each for each in snapshot.decisions if each.decision.job_id == job.job_id]
    heard = {outcome.decision_id for outcome in snapshot.outcomes if outcome.job_id == job.job_id}
    over = job.gone or (record is not None and record.state in (JobState.COMPLETE, JobState.FAILED))
    if decided and over and not heard and job.states == DONE:
        yield f"{job.job_id}: no decision of its has an outcome"
    for each in decided:
        if each.decision.id in heard and each.learns and each.settlement is None:
            yield f"{job.job_id}: the outcome of decision {each.decision.id} was not counted"


def duplicated(snapshot: Snapshot, job: Wanted) -> Iterator[str]:
    """A job with two endings or results, with a result that it would not have alone, or of an attempt that was over."""
    record, ending = snapshot.records.get(job.job_id), snapshot.endings.get(job.job_id)
    said = [*snapshot.told.get(job.job_id, ()), *([ending] if ending is not None else [])]
    kinds = sorted({_kind(each) for each in said})
    if len(kinds) > 1:
        yield f"{job.job_id}: more than one ending: {', '.join(kinds)}"
    for got in sorted({each.digest for each in said if isinstance(each, JobDone)}):
        if job.digest and got != job.digest:
            yield f"{job.job_id}: wanted the result {job.digest[:12]}, got {got[:12]}"
    if record is not None and record.result is not None:
        if record.result.attempt != record.attempt:
            yield f"{job.job_id}: at attempt {record.attempt}, with the result of attempt {record.result.attempt}"
        if isinstance(ending, JobDone) and record.result.digest != ending.digest:
            yield f"{job.job_id}: record and store disagree about the result"
    times = Counter(
        each.decision_id for each in snapshot.outcomes if each.job_id == job.job_id and each.quality is None
    )
    for decision, count in times.items():
        if count > 1:
            yield f"{job.job_id}: decision {decision} has {count} outcomes"


def hung(snapshot: Snapshot, job: Wanted) -> Iterator[str]:
    """A job that is not at its end although its time is up."""
    record = snapshot.records.get(job.job_id)
    if record is not None and not record.finished:
        yield f"{job.job_id}: still {record.state}, attempt {record.attempt} {record.waiting_message}".rstrip()
    if record is not None and job.gone and record.finished:
        yield f"{job.job_id}: to be removed, and still there"


def left(snapshot: Snapshot, jobs: Iterable[Wanted]) -> Iterator[str]:
    """What nobody will ask for any more, and lies there still."""
    there = {job.job_id for job in jobs if not job.gone}
    results = {each.payload.subject for each in snapshot.endings.values() if isinstance(each, JobDone)}
    for stream, names in snapshot.subjects.items():
        for name in names:
            if _is_orphan(stream, name, there, results):
                yield f"{stream}: {name}"
    yield from (f"file: {file}" for file in snapshot.files)


def _is_orphan(stream: str, name: str, there: set[str], results: set[str | None]) -> bool:
    """Work, checkpoints and dead letters go when jobs end, bytes of results stay, all else goes with its job. Nobody
    is an outcast here: workers die, and do not lie."""
    if stream.startswith("RISE_WORK_") or stream in ("RISE_CHECKPOINTS", "RISE_DEAD", "rise_outcasts"):
        return True
    if stream == "RISE_BLOBS":
        return name.rpartition(".")[0] not in results  # the last token counts the chunks
    if stream in ("RISE_EVENTS", "RISE_OFFERS"):
        return not there.intersection(name.split("."))
    return stream in ("rise_jobs", "rise_results", "rise_fences") and name not in there


def _kind(ending: Ending) -> str:
    if isinstance(ending, JobDone):
        return f"done {ending.digest[:12]}"
    return "cancelled" if isinstance(ending, JobCancelled) else f"failed {ending.reason}"
