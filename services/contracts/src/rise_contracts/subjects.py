"""Every name on the bus: subjects, streams, durable consumers, key-value buckets, limits.

================================  ===============================================================================
``rise.work.<pool>.any.<…>``        a stage for any worker of the pool (stream ``RISE_WORK_<POOL>``, work queue)
``rise.work.<pool>.<worker>.<…>``   a stage for one worker; both end in ``<job>.<attempt>``
``rise.events.<job>.<kind>``        what happened to a job (stream ``RISE_EVENTS``)
``rise.progress.<job>.<worker>``    steps done, over core NATS: may be missed
``rise.blobs.<shelf>.<job>.<…>``    bytes too large for one message, in chunks (stream ``RISE_BLOBS``)
``rise.checkpoints.<lane>.<…>``     latents of stages in mid-work (stream ``RISE_CHECKPOINTS``)
``rise.offers.<pool>.<worker>.<…>`` what a device says and has made, to be looked at first (stream ``RISE_OFFERS``)
``rise.dead.<job>``                 work that was given up (stream ``RISE_DEAD``)
``rise.outcomes``                   what came of each decision (stream ``RISE_OUTCOMES``)
``rise.scheduler.configure``        request Configure, answer Decision or Problem
``rise.scheduler.policy``           request AskPolicy, answer PolicyReport or Problem
``rise.cancel.<job>``               stop working on a job, over core NATS
================================  ===============================================================================

A *lane* is ``<pool>.<worker>``, or ``<pool>.any`` where a stage may go to any worker of its pool. Whatever belongs to a
stage has its lane in the subject, so that the rights of a worker can be written as a list of subjects. A *shelf* is
``<lane>.<writer>``: whoever may read a lane reads all its shelves, and a device writes on those with its own name, so
that what it has stored can be counted, and thrown away.
"""

from __future__ import annotations

import re

CONFIGURE = "rise.scheduler.configure"
POLICY = "rise.scheduler.policy"
OUTCOMES = "rise.outcomes"
ALL_EVENTS = "rise.events.>"
ALL_BLOBS = "rise.blobs.>"
ALL_CHECKPOINTS = "rise.checkpoints.>"
ALL_DEAD = "rise.dead.>"
ALL_OFFERS = "rise.offers.>"
ALL_CANCELS = "rise.cancel.*"

STREAM_EVENTS = "RISE_EVENTS"
STREAM_OUTCOMES = "RISE_OUTCOMES"
STREAM_DEAD = "RISE_DEAD"
STREAM_BLOBS = "RISE_BLOBS"
STREAM_CHECKPOINTS = "RISE_CHECKPOINTS"
STREAM_OFFERS = "RISE_OFFERS"
WORK_STREAM_PREFIX = "RISE_WORK_"

KV_JOBS = "rise_jobs"
KV_FENCES = "rise_fences"
KV_RESULTS = "rise_results"
KV_WORKERS = "rise_workers"
KV_OUTCASTS = "rise_outcasts"
KV_SCHEDULER = "rise_scheduler"
KV_DECISIONS = "rise_decisions"
KV_FAMILIES = "rise_families"
KV_AUDITS = "rise_audits"
KV_FORGOTTEN = "rise_forgotten"

DURABLE_DRIVER = "driver"
DURABLE_SCHEDULER = "scheduler"
DURABLE_JUDGE = "judge"
DURABLE_SCORER = "scorer"
DURABLE_AUDITOR = "auditor"
DURABLE_CUSTOMS = "customs"
ANY = "any"
OURS = "RISE"
"""In place of a name: the shelf of all whom the platform trusts. No worker has capital letters."""
KEPT = "KEPT"
"""In place of a pool: the lane of what was looked at and is kept. No pool has capital letters."""

INLINE_LIMIT = 1024 * 1024
"""Bytes that travel inside a message; more goes in chunks."""
CHUNK = 512 * 1024
SERVER_MAX_PAYLOAD = 8 * 1024 * 1024
"""What a NATS server of ours is set to; others are taken as they are and checked when connecting."""
PAYLOAD_LIMIT = 256 * 1024 * 1024
"""The most bytes one handoff or result may have."""
DEVICE_LIMIT = 8 * PAYLOAD_LIMIT
"""The most bytes of chunks that one device may have stored; one that has more is cut off. An honest one has, for each
job in its slots, a result or a handoff and a checkpoint or two: there is room for eight of the largest payloads."""
CHUNK_OVERHEAD = 4096
"""Bytes that the headers of a chunk may have."""
CHUNKS_LIMIT = 16 * 1024
"""The most chunks it may be in: those of 16 KiB, where a server takes no larger messages."""

HEARTBEAT_S = 1.0
WORKER_TTL_S = 5.0
"""A worker whose heartbeat is older than this is taken for lost."""
OUTCAST_S = 600.0
"""For so long nothing is taken from a worker that lied."""


_LABEL = r"[a-z0-9][a-z0-9-]{0,62}"
_OFFER = re.compile(rf"rise\.offers\.(?P<pool>{_LABEL})\.(?P<worker>{_LABEL})\.(?P<job>{_LABEL})\.(?P<kind>{_LABEL})")
_WORK = re.compile(rf"rise\.work\.{_LABEL}\.{_LABEL}\.(?P<job>{_LABEL})\.(?P<attempt>[1-9][0-9]{{0,8}})")


def lane(pool: str, worker: str | None) -> str:
    """Of a stage that goes to `worker`, or to any of the pool."""
    return f"{pool}.{worker or ANY}"


def shelf(lane: str, writer: str | None) -> str:
    """In a lane, of the device `writer`, or of the platform."""
    return f"{lane}.{writer or OURS}"


def heartbeat(tier: str, pool: str, worker: str) -> str:
    """The key of a worker's heartbeat. It carries all that a worker is trusted by: each may write its own alone."""
    return f"{tier}.{pool}.{worker}"


def work(pool: str, worker: str | None, job_id: str, attempt: int) -> str:
    return f"rise.work.{lane(pool, worker)}.{job_id}.{attempt}"


def job_of_work(subject: str) -> tuple[str, int]:
    """Job and attempt that a work subject is for. Raises ValueError where it is none."""
    match = _WORK.fullmatch(subject)
    if match is None:
        raise ValueError(f"wanted rise.work.<pool>.<worker>.<job>.<attempt>, got {subject[:200]!r}")
    return match["job"], int(match["attempt"])


def work_filter(pool: str, worker: str | None) -> str:
    """What a worker's consumer takes: the tasks for any (worker None), or those for it alone."""
    return f"rise.work.{lane(pool, worker)}.>"


def work_of_job(pool: str, job_id: str, attempt: int | None = None) -> str:
    """All tasks of a job in a pool, or those of one attempt."""
    return f"rise.work.{pool}.*.{job_id}.{'*' if attempt is None else attempt}"


def work_stream(pool: str) -> str:
    return WORK_STREAM_PREFIX + pool.replace("-", "_").upper()


def work_stream_subjects(pool: str) -> str:
    return f"rise.work.{pool}.>"


def work_durable(worker: str | None) -> str:
    return worker or ANY


def event(job_id: str, kind: str) -> str:
    return f"rise.events.{job_id}.{kind}"


def events_of_job(job_id: str) -> str:
    return f"rise.events.{job_id}.>"


def progress(job_id: str, worker: str = "*") -> str:
    return f"rise.progress.{job_id}.{worker}"


def cancel(job_id: str) -> str:
    return f"rise.cancel.{job_id}"


def dead(job_id: str) -> str:
    return f"rise.dead.{job_id}"


def blob(shelf: str, job_id: str, use: str, attempt: int, nonce: str) -> str:
    """`use` is "handoff", "checkpoint" or "result"; the nonce keeps two writers of one attempt apart."""
    return f"rise.blobs.{shelf}.{job_id}.{use}.{attempt}.{nonce}"


def blobs_in(place: str) -> str:
    """In a lane, or on a shelf of it."""
    return f"rise.blobs.{place}.>"


def blobs_of_writer(writer: str) -> str:
    """On all shelves of a device."""
    return blobs_in(shelf("*.*", writer))


def writer_of_blob(subject: str) -> str | None:
    """The device whose shelf it is on, or None. The name is true: the server lets each device write on its own only."""
    tokens = subject.split(".", 5)
    return tokens[4] if len(tokens) > 4 and re.fullmatch(_LABEL, tokens[4]) else None


def is_one(subject: str) -> bool:
    """Whether it stands for itself alone. A server stores what is sent under wildcards, too; where that is purged, all
    goes that they stand for."""
    return not {"*", ">"} & set(subject.split("."))


def blobs_of_job(job_id: str, use: str | None = None) -> str:
    return blobs_in(f"*.*.*.{job_id}.{use}" if use else f"*.*.*.{job_id}")


def checkpoint(lane: str, job_id: str, attempt: int, stage: int) -> str:
    return f"rise.checkpoints.{lane}.{job_id}.{attempt}.{stage}"


def checkpoints_of_lane(lane: str) -> str:
    return f"rise.checkpoints.{lane}.>"


def checkpoints_of_job(job_id: str) -> str:
    return f"rise.checkpoints.*.*.{job_id}.>"


def offer(pool: str, worker: str, job_id: str, kind: str) -> str:
    return f"rise.offers.{pool}.{worker}.{job_id}.{kind}"


def offers_of_worker(pool: str, worker: str) -> str:
    return f"rise.offers.{pool}.{worker}.>"


def offers_of_job(job_id: str) -> str:
    return f"rise.offers.*.*.{job_id}.>"


def read_offer(subject: str) -> tuple[str, str, str, str]:
    """Pool, worker, job and kind of an offer. The first two are true: the server lets each worker say its own only.

    Raises ValueError where the subject is none.
    """
    match = _OFFER.fullmatch(subject)
    if match is None:
        raise ValueError(f"wanted rise.offers.<pool>.<worker>.<job>.<kind>, got {subject[:200]!r}")
    return match["pool"], match["worker"], match["job"], match["kind"]


def task_id(job_id: str, attempt: int, stage: int) -> str:
    """The message id of a stage task: storing it twice stores it once."""
    return f"{job_id}.{attempt}.{stage}"


def event_id(job_id: str, attempt: int, kind: str, stage: int, discriminator: str = "") -> str:
    return f"{job_id}.{attempt}.{kind}.{stage}.{discriminator}"
