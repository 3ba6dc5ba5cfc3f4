"""What a device offers, held against what is known of its job. Pure: bytes and a record in, an error out.

A device is asked for nothing that it could not know, and believed in nothing that can be checked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from rise_contracts import handoff, messages
from rise_contracts.configuration import Stage
from rise_contracts.errors import RiseError
from rise_contracts.records import JobRecord
from rise_runtime import png

MOST_WORDS = 2000
"""Characters of a device's own text."""


class OfferRefused(RiseError):
    """A device said what cannot be true, or what it has no right to say."""

    def __init__(self, worker: str, wanted: str, got: object) -> None:
        self.worker, self.wanted, self.got = worker, wanted, got
        super().__init__(f"offer of {worker} refused: wanted {wanted}, got {str(got)[:200]}")


def is_late(record: JobRecord | None, attempt: int) -> bool:
    """Whether nobody wants it any more, which is no lie: the job is over, gone, or at a later attempt."""
    return record is None or record.finished or attempt < record.attempt


def is_early(record: JobRecord, attempt: int) -> bool:
    """Whether the record that was read may be an old one, as a replica may give it: look again."""
    return attempt > record.attempt or record.decision is None


def check_stage(record: JobRecord, attempt: int, index: int, pool: str, worker: str) -> Stage:
    """The stage, where it is this worker's. Raises OfferRefused."""
    stages = record.planned
    if attempt != record.attempt or index >= len(stages):
        raise OfferRefused(worker, f"a stage of attempt {record.attempt}", f"stage {index} of attempt {attempt}")
    stage = stages[index]
    if not stage.is_of(pool, worker):
        raise OfferRefused(worker, f"a stage of {pool}.{worker}", f"stage {index}, which is of {stage.lane}")
    return stage


def check_event(event: messages.Event, record: JobRecord, pool: str, worker: str) -> None:
    """For events of a stage; see `check_result` for results. Raises OfferRefused."""
    if isinstance(event, messages.JobFailed | messages.JobCancelled | messages.JobDone):
        raise OfferRefused(worker, "events of its stage", event.kind)
    if event.worker != worker:
        raise OfferRefused(worker, "its own name", event.worker)
    stage = check_stage(record, event.attempt, event.stage, pool, worker)
    if isinstance(event, messages.StageDone):
        check_report(event.report, stage, worker)
    elif isinstance(event, messages.StageFailed) and len(event.message) > MOST_WORDS:
        raise OfferRefused(worker, f"at most {MOST_WORDS} characters of a reason", len(event.message))


def check_report(report: messages.StageReport, stage: Stage, worker: str) -> None:
    """Raise OfferRefused where a report is not of this stage and worker."""
    wanted = (stage.index, stage.member, stage.tier, stage.pool, worker)
    got = (report.stage, report.member, report.tier, report.pool, report.worker)
    if got != wanted:
        raise OfferRefused(worker, f"a report of {wanted}", got)
    if report.steps > stage.steps:
        raise OfferRefused(worker, f"at most {stage.steps} steps", report.steps)


def check_task(task: messages.StageTask, payload: bytes, record: JobRecord, pool: str, worker: str) -> None:
    """Work for the next stage: as the job has it, behind a stage of the worker's.

    Raises OfferRefused, HandoffRefused.
    """
    if task.stage_index == 0 or task.handoff is None:
        raise OfferRefused(worker, "a task with a handoff", f"stage {task.stage_index}")
    stage, decision = check_stage(record, task.attempt, task.stage_index - 1, pool, worker), record.decision
    if [report.stage for report in task.done] != list(range(task.stage_index)):
        raise OfferRefused(worker, f"reports of {task.stage_index} stages", len(task.done))
    check_report(task.done[-1], stage, worker)
    if task.request != record.request or decision is None or task.configuration != decision.configuration:
        raise OfferRefused(worker, "the job as it was given", "another")
    if (task.handoff.job, task.handoff.attempt, task.handoff.stage) != (
        record.job_id,
        task.attempt,
        task.stage_index - 1,
    ):
        raise OfferRefused(worker, "a handoff of this job", task.handoff.job)
    handoff.check_payload(task.handoff, payload)


def check_result(done: messages.JobDone, payload: bytes, record: JobRecord, pool: str, worker: str) -> messages.JobDone:
    """The result with nothing in it that is only said. Raises OfferRefused, InvalidInput for what is no picture."""
    decision, spec = record.decision, record.request.spec
    if decision is None or done.worker != worker:
        raise OfferRefused(worker, "a result of its own", done.worker)
    stages = decision.configuration.stages
    last = check_stage(record, done.attempt, len(stages) - 1, pool, worker)
    if (done.arm, done.seed) != (decision.arm, record.request.seed):
        raise OfferRefused(worker, f"arm {decision.arm} and seed {record.request.seed}", f"{done.arm}, {done.seed}")
    if [report.stage for report in done.stages] != list(range(len(stages))):
        raise OfferRefused(worker, f"reports of {len(stages)} stages", len(done.stages))
    check_report(done.stages[-1], last, worker)
    digest = hashlib.sha256(payload).hexdigest()
    if (done.digest, done.nbytes) != (digest, len(payload)):
        raise OfferRefused(worker, f"digest {digest} of {len(payload)} bytes", f"{done.digest} of {done.nbytes}")
    if len(done.images) != spec.images:
        raise OfferRefused(worker, f"{spec.images} pictures", len(done.images))
    _check_pictures(done.images, payload, record, worker)
    return done.model_copy(update={"stages": known_reports(record, done.stages)})


def known_reports(record: JobRecord, said: Sequence[messages.StageReport]) -> tuple[messages.StageReport, ...]:
    """The reports of the stages before the last as their own workers gave them, where they have."""
    own = {status.index: status.report for status in record.stages if status.report is not None}
    return (*(own.get(report.stage) or report for report in said[:-1]), said[-1])


def _check_pictures(images: Sequence[messages.ImageRef], payload: bytes, record: JobRecord, worker: str) -> None:
    spec, at = record.request.spec, 0
    for image in images:
        wanted = (spec.width or image.width, spec.height or image.height)
        if (image.width, image.height) != wanted:
            raise OfferRefused(worker, f"pictures of {wanted}", (image.width, image.height))
        if spec.frames is not None and image.frames > spec.frames:
            raise OfferRefused(worker, f"at most {spec.frames} frames", image.frames)
        picture = payload[at : at + image.nbytes]
        at += image.nbytes
        if hashlib.sha256(picture).hexdigest() != image.sha256:
            raise OfferRefused(worker, f"a picture of digest {image.sha256}", "another")
        png.check(picture, image.width, image.height, image.frames)
    if at != len(payload):
        raise OfferRefused(worker, f"{at} bytes of pictures", len(payload))
