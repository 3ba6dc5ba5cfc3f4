"""Every name on the bus: subjects, streams, durable consumers, key-value buckets, limits.

================================  ===============================================================================
``rise.work.<pool>.any.<…>``        a stage for any worker of the pool (stream ``RISE_WORK_<POOL>``, work queue)
``rise.work.<pool>.<worker>.<…>``   a stage for one worker; both end in ``<job>.<attempt>``
``rise.events.<job>.<kind>``        what happened to a job (stream ``RISE_EVENTS``)
``rise.progress.<job>``             steps done, over core NATS: may be missed
``rise.blobs.<job>.<use>.<…>``      bytes too large for one message, in chunks (stream ``RISE_BLOBS``)
``rise.checkpoints.<job>.<…>``      latents of stages in mid-work (stream ``RISE_CHECKPOINTS``)
``rise.dead.<job>``                 work that was given up (stream ``RISE_DEAD``)
``rise.outcomes``                   what came of each decision (stream ``RISE_OUTCOMES``)
``rise.scheduler.configure``        request Configure, answer Decision or Problem
``rise.scheduler.policy``           request AskPolicy, answer PolicyReport or Problem
``rise.cancel.<job>``               stop working on a job, over core NATS
================================  ===============================================================================
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
ALL_CANCELS = "rise.cancel.*"

STREAM_EVENTS = "RISE_EVENTS"
STREAM_OUTCOMES = "RISE_OUTCOMES"
STREAM_DEAD = "RISE_DEAD"
STREAM_BLOBS = "RISE_BLOBS"
STREAM_CHECKPOINTS = "RISE_CHECKPOINTS"
WORK_STREAM_PREFIX = "RISE_WORK_"

KV_JOBS = "rise_jobs"
KV_RESULTS = "rise_results"
KV_WORKERS = "rise_workers"
KV_SCHEDULER = "rise_scheduler"
KV_DECISIONS = "rise_decisions"
KV_FAMILIES = "rise_families"
KV_AUDITS = "rise_audits"

DURABLE_DRIVER = "driver"
DURABLE_SCHEDULER = "scheduler"
DURABLE_JUDGE = "judge"
DURABLE_AUDITOR = "auditor"
ANY = "any"

INLINE_LIMIT = 1024 * 1024
"""Bytes that travel inside a message; more goes in chunks."""
CHUNK = 512 * 1024
SERVER_MAX_PAYLOAD = 8 * 1024 * 1024
"""What a NATS server of ours is set to; others are taken as they are and checked when connecting."""
PAYLOAD_LIMIT = 256 * 1024 * 1024
"""The most bytes one handoff or result may have."""
CHUNKS_LIMIT = 16 * 1024
"""The most chunks it may be in: those of 16 KiB, where a server takes no larger messages."""

HEARTBEAT_S = 1.0
WORKER_TTL_S = 5.0
"""A worker whose heartbeat is older than this is taken for lost."""


_LABEL = r"[a-z0-9][a-z0-9-]{0,62}"
_WORK = re.compile(rf"rise\.work\.{_LABEL}\.{_LABEL}\.(?P<job>{_LABEL})\.(?P<attempt>[1-9][0-9]{{0,8}})")


def work(pool: str, worker: str | None, job_id: str, attempt: int) -> str:
    return f"rise.work.{pool}.{worker or ANY}.{job_id}.{attempt}"


def job_of_work(subject: str) -> tuple[str, int]:
    """Job and attempt that a work subject is for. Raises ValueError where it is none."""
    match = _WORK.fullmatch(subject)
    if match is None:
        raise ValueError(f"wanted rise.work.<pool>.<worker>.<job>.<attempt>, got {subject[:200]!r}")
    return match["job"], int(match["attempt"])


def work_filter(pool: str, worker: str | None) -> str:
    """What a worker's consumer takes: the tasks for any (worker None), or those for it alone."""
    return f"rise.work.{pool}.{worker or ANY}.>"


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


def progress(job_id: str) -> str:
    return f"rise.progress.{job_id}"


def cancel(job_id: str) -> str:
    return f"rise.cancel.{job_id}"


def dead(job_id: str) -> str:
    return f"rise.dead.{job_id}"


def blob(job_id: str, use: str, attempt: int, nonce: str) -> str:
    """`use` is "handoff", "checkpoint" or "result"; the nonce keeps two writers of one attempt apart."""
    return f"rise.blobs.{job_id}.{use}.{attempt}.{nonce}"


def blobs_of_job(job_id: str, use: str | None = None) -> str:
    return f"rise.blobs.{job_id}.{use}.>" if use else f"rise.blobs.{job_id}.>"


def checkpoint(job_id: str, attempt: int, stage: int) -> str:
    return f"rise.checkpoints.{job_id}.{attempt}.{stage}"


def checkpoints_of_job(job_id: str) -> str:
    return f"rise.checkpoints.{job_id}.>"


def task_id(job_id: str, attempt: int, stage: int) -> str:
    """The message id of a stage task: storing it twice stores it once."""
    return f"{job_id}.{attempt}.{stage}"


def event_id(job_id: str, attempt: int, kind: str, stage: int, discriminator: str = "") -> str:
    return f"{job_id}.{attempt}.{kind}.{stage}.{discriminator}"
