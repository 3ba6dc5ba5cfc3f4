"""``python -m rise_stage.judge``: looks at every finished picture of the embedded family, and tells the scheduler.

A front door that waits for its picture judges it itself (`rise run`); of the others' pictures nobody would know whether
they are right. It works off the hot path: a job has ended before it is looked at, and nobody waits for the verdict.
Judging twice tells once. It loads no model, and no torch.
"""

from __future__ import annotations

import logging
from functools import partial

from rise_contracts import messages, subjects
from rise_contracts.audits import is_audit
from rise_runtime import afterwards, beside, client
from rise_runtime.bus import Bus
from rise_runtime.signals import leave
from rise_shapes.judge import verdict
from rise_shapes.scene import CANVAS
from rise_stage.settings import EMBEDDED

log = logging.getLogger(__name__)


async def run_judge(bus: Bus) -> None:
    """Judge what ends, until cancelled. Several judges share the work."""
    await afterwards.each_done(bus, subjects.DURABLE_JUDGE, partial(_tell_quality, bus))


async def _tell_quality(bus: Bus, done: messages.JobDone) -> None:
    record = await client.get_job(bus, done.job_id)
    spec = record.request.spec
    sizes = {(ref.width, ref.height) for ref in done.images}
    if spec.family != EMBEDDED or sizes != {(CANVAS, CANVAS)} or is_audit(spec):
        return  # no program can tell, so nothing is fetched; or nobody asked for that picture
    result = await client.fetch_result(bus, done.job_id)
    verdicts = [verdict(png, spec.prompt) for png in result.images]
    right = [each.ok for each in verdicts if each is not None]
    if right:
        await client.report_quality(bus, record, result.done, sum(right) / len(right), judged_by="judge")
        log.info("job %s: %d of %d pictures are as the prompt says", done.job_id, sum(right), len(right))


if __name__ == "__main__":
    leave(beside.main("judge", run_judge))
