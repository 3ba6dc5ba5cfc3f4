"""Scores a sample of what ends, and tells the scheduler. It knows the bus and any `Scorer`, and no model.

The embedded family is left to its judge, whose word is right or wrong and not a taste: one family has one scale.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from rise_contracts import errors, messages, privacy, sampling, scorers, subjects
from rise_contracts.audits import is_audit
from rise_contracts.resources import RelayJobSpec
from rise_runtime import afterwards, client
from rise_runtime.bus import Bus
from rise_stage.scoring.pictures import opened
from rise_stage.scoring.scorer import Scorer
from rise_stage.settings import EMBEDDED

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """`share` of the jobs (0 to 1) is scored. One that is silent for `ack_wait_s` has lost its job to the next."""

    share: float = scorers.SHARE
    ack_wait_s: float = 30.0


async def run_scorer(bus: Bus, scorer: Scorer, settings: Settings = Settings()) -> None:
    """Score what ends, until cancelled. Several scorers share the work; each has one job at a time."""
    await afterwards.each_done(
        bus,
        subjects.DURABLE_SCORER,
        partial(_look, bus, scorer, settings),
        ack_wait_s=settings.ack_wait_s,
        most_unacked=1,
    )


async def _look(bus: Bus, scorer: Scorer, settings: Settings, done: messages.JobDone) -> None:
    if not sampling.is_sampled("score", done.job_id, settings.share):
        return
    record = await client.get_job(bus, done.job_id)
    spec = record.request.spec
    if spec.family == EMBEDDED or is_audit(spec):
        return
    result = await client.fetch_result(bus, done.job_id)
    labels = [await asyncio.to_thread(_scored, scorer, spec, png) for png in result.images]
    await client.report_quality(bus, record, result.done, fmean(labels), judged_by=scorer.name)
    log.info("job %s: %s %.3f", done.job_id, scorer.name, fmean(labels))


def _scored(scorer: Scorer, spec: RelayJobSpec, png: bytes) -> float:
    """The picture's label. What a library says of the prompt in an error goes no further."""
    try:
        return scorer.score(spec.prompt, opened(png))
    except errors.RiseError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it may quote the prompt
        why = privacy.without(f"{type(error).__name__}: {error}", spec.prompt)
        raise errors.StageFailed(f"{scorer.name} cannot score it: {' '.join(why.split())}") from None
