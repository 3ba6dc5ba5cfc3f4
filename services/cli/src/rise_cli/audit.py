"""`python -m rise_cli.audit`: holds a sample of finished jobs against what the base member alone makes of them.

A judge knows one family, and a scorer has a taste. The base member's picture of the same noise needs neither: it is
what a relay stands in for, and how near the relay comes to it can be measured in production. It costs a full run of
the base member, so it is done for a small sample, and while the edge is idle.

One job is audited at a time, however many auditors there are, for the server hands out one. An auditor that dies
repeats nothing: the base member's run is a job that is made once, and what has its audit is not audited again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from rise_cli import audit_rules as rules
from rise_cli import families, fidelity
from rise_contracts import codec, errors, messages, subjects
from rise_contracts.audits import Audit, key_of
from rise_contracts.decisions import DecisionRecord
from rise_contracts.model import Tier
from rise_contracts.records import JobRecord
from rise_contracts.resources import Member
from rise_runtime import beside, client, plan
from rise_runtime.afterwards import GIVE_UP_AFTER, RETRY_S
from rise_runtime.buckets import Bucket
from rise_runtime.bus import Bus
from rise_runtime.heartbeat import Workers
from rise_runtime.pulls import Consumer, Delivery
from rise_runtime.signals import leave

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settings:
    """`share` of the jobs (0 to 1) is audited, each as soon as the edge has been idle for `idle_s`; one for which it
    never was within `patience_s` is given up. `teach`: the fidelity is told to the scheduler as the quality of
    decisions that nobody has judged. An auditor that is silent for `ack_wait_s` has lost its job to the next."""

    share: float = 0.02
    idle_s: float = 5.0
    patience_s: float = 900.0
    teach: bool = False
    ack_wait_s: float = 30.0


async def run_auditor(bus: Bus, settings: Settings = Settings()) -> None:
    """Audit what ends, until cancelled."""
    kinds = (subjects.event("*", "job-done"),)
    consumer = Consumer(
        bus,
        subjects.STREAM_EVENTS,
        kinds,
        durable=subjects.DURABLE_AUDITOR,
        ack_wait_s=settings.ack_wait_s,
        most_unacked=1,
    )
    await consumer.start()
    try:
        while True:
            delivery = await consumer.next()
            if delivery is not None:
                await _take(bus, delivery, settings)
    finally:
        await consumer.stop()


async def _take(bus: Bus, delivery: Delivery, settings: Settings) -> None:
    """One job. Acknowledged when it is audited, when it cannot be, or when it is given up; then nothing is left of the
    base member's run."""
    done = _job_done(delivery)
    if done is None or not rules.is_sampled(done.job_id, settings.share):
        await delivery.ack()
        return
    async with delivery.kept(settings.ack_wait_s / 3):
        if not await _tried(bus, done, settings, last=delivery.deliveries >= GIVE_UP_AFTER):
            await delivery.nak(RETRY_S)
            return
        await delivery.ack()
        await _forget(bus, client.id_of(key_of(done.job_id)))


def _job_done(delivery: Delivery) -> messages.JobDone | None:
    try:
        event, _ = codec.decode_event(delivery.data)
    except errors.InvalidInput as error:
        log.warning("not audited: %s", error)
        return None
    return event if isinstance(event, messages.JobDone) else None


async def _tried(bus: Bus, done: messages.JobDone, settings: Settings, *, last: bool) -> bool:
    """Audit the job; False where it is worth another try."""
    try:
        await _audit(bus, done, settings)
    except (errors.NotFound, errors.JobEndedBadly, errors.Cancelled) as error:
        log.info("job %s is not audited: %s", done.job_id, error)  # its owner has removed it, or the audit failed
    except Exception as error:
        if not last:
            log.warning("the audit is tried again: %s", error, exc_info=not isinstance(error, errors.RiseError))
            return False
        log.exception("job %s cannot be audited", done.job_id)
    return True


async def _audit(bus: Bus, done: messages.JobDone, settings: Settings) -> None:
    record = await client.get_job(bus, done.job_id)
    audit = await _known(bus, done.job_id)
    if audit is None:
        family = await families.known_to(bus, record.request.spec.family)
        base = rules.base_member(family)
        why_not = rules.exemption(record, done, base)
        if why_not or base is None:
            log.info("job %s is not audited: %s", done.job_id, why_not)
            return
        audit = await _made(bus, record, base, settings)
    if audit is not None and settings.teach:
        await _teach(bus, record, done, audit)


async def _made(bus: Bus, record: JobRecord, base: Member, settings: Settings) -> Audit | None:
    """The audit, kept; None where the edge was never idle. Raises NotFound where there is no result any more."""
    ours = await client.fetch_result(bus, record.job_id)
    theirs = await _base_result(bus, record, base, settings)
    if theirs is None or record.decision is None:
        return None
    pictures = await asyncio.to_thread(fidelity.of_files, ours.images, theirs.images)
    audit = Audit(
        job_id=record.job_id,
        decision_id=record.decision.id,
        family=record.request.spec.family,
        arm=ours.done.arm,
        base_arm=rules.base_arm(base),
        fidelity=fmean(pictures),
        pictures=pictures,
        edge_s=plan.edge_seconds(theirs.done.stages),
        at=time.time(),
    )
    await Bucket(bus, subjects.KV_AUDITS).create(audit.job_id, codec.encode(audit))
    log.info("job %s: fidelity %.3f of %s to %s", audit.job_id, audit.fidelity, audit.arm, audit.base_arm)
    return audit


async def _base_result(bus: Bus, record: JobRecord, base: Member, settings: Settings) -> client.Result | None:
    """What the base member makes of it; None where the edge was never idle. Raises JobEndedBadly, Cancelled."""
    spec = rules.spec_of(record.request, base)
    job_id = client.id_of(key_of(record.job_id))
    if not await _is_there(bus, job_id):
        if not await _became_idle(bus, base.tier, spec.family, settings):
            log.info("job %s is not audited: the edge was never idle in %g s", record.job_id, settings.patience_s)
            return None
        await client.submit(bus, spec)
    async for _ in client.watch_job(bus, job_id):
        pass  # until its driver is through with it, too
    return await client.fetch_result(bus, job_id)


async def _became_idle(bus: Bus, tier: Tier, family: str, settings: Settings) -> bool:
    """Wait until the tier has been idle for a while; False where it was not in time."""
    since: float | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(settings.patience_s):
            async for alive in Workers(bus).changes():
                now = time.monotonic()
                since = rules.idle_since(since, rules.is_idle(alive, tier, family), now)
                if since is not None and now - since >= settings.idle_s:
                    return True
    return False


async def _teach(bus: Bus, record: JobRecord, done: messages.JobDone, audit: Audit) -> None:
    """Tell the fidelity as the decision's quality, unless somebody has judged it: the first word counts."""
    entry = await Bucket(bus, subjects.KV_DECISIONS).get(audit.decision_id)
    if entry is None or entry.value is None:
        return
    outcome = codec.decode(DecisionRecord, entry.value).outcome
    if outcome is None or outcome.quality is None:
        await client.report_quality(bus, record, done, audit.fidelity, judged_by="fidelity")


async def _known(bus: Bus, job_id: str) -> Audit | None:
    entry = await Bucket(bus, subjects.KV_AUDITS).get(job_id)
    return None if entry is None or entry.value is None else codec.decode(Audit, entry.value)


async def _is_there(bus: Bus, job_id: str) -> bool:
    try:
        await client.get_job(bus, job_id)
    except errors.NotFound:
        return False
    return True


async def _forget(bus: Bus, job_id: str) -> None:
    """Take the base member's run away, pictures and all. Where that does not work, its time to live runs out."""
    try:
        await client.cancel(bus, job_id)
        await client.remove(bus, job_id)
    except errors.NotFound:
        pass
    except errors.RiseError as error:
        log.warning("audit %s is left for later: %s", job_id, error)


def settings_from(argv: Sequence[str]) -> Settings:
    """What the command line says."""
    usual = Settings()
    parser = argparse.ArgumentParser(prog="python -m rise_cli.audit", description="Audit a sample of finished jobs.")
    parser.add_argument("--share", type=_share, default=usual.share, help="of the jobs, 0 to 1 (default %(default)s)")
    parser.add_argument("--idle", type=float, default=usual.idle_s, help="seconds of rest before (default %(default)s)")
    parser.add_argument("--patience", type=float, default=usual.patience_s, help="seconds to wait for that")
    parser.add_argument("--teach", action="store_true", help="tell the scheduler, of decisions that nobody judges")
    given = parser.parse_args(argv)
    return Settings(given.share, given.idle, given.patience, given.teach)


def _share(text: str) -> float:
    share = float(text)
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"wanted 0 to 1, got {text}")
    return share


def main(argv: Sequence[str]) -> int:
    """Run until told to stop; the exit code."""
    settings = settings_from(argv)
    return beside.main("auditor", lambda bus: run_auditor(bus, settings))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
