"""The JSON report of a run: what was asked, what was decided and why, what it took, what came out."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from rise_contracts import messages, records


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Verdict(_Part):
    ok: bool
    reasons: tuple[str, ...] = ()


class Picture(_Part):
    path: str
    sha256: str
    width: int
    height: int
    frames: int = 1
    verdict: Verdict | None = None


class StageTold(_Part):
    member: str
    tier: str
    worker: str
    steps: int
    sigma_from: float | None
    sigma_to: float
    seconds: float
    resumed_at: int = 0
    earlier_seconds: float = 0.0
    timings: dict[str, float]


class HandoffTold(_Part):
    sigma: float
    nbytes: int
    dtype: str
    seconds: float
    preview: str | None = None


class Machine(_Part):
    system: str
    cores: int
    python: str


class Run(_Part):
    """One job. `seconds` is from submission to the stored result, as the front door saw it."""

    job: str
    seed: int
    state: str
    attempt: int
    arm: str
    policy: str
    predicted: messages.Predictions
    context: dict[str, float]
    seconds: float
    edge_seconds: float
    device_seconds: float
    overhead_seconds: float
    stages: tuple[StageTold, ...]
    handoffs: tuple[HandoffTold, ...]
    pictures: tuple[Picture, ...]
    digest: str
    speedup: float | None = None
    """Against the large member alone, only where that was measured in the same command."""


class Report(_Part):
    version: Literal[1] = 1
    rise: str
    kind: Literal["run", "compare"]
    prompt: str
    family: str
    seed: int
    machine: Machine
    warnings: tuple[str, ...] = ()
    runs: tuple[Run, ...]
    sheet: str | None = None


def version() -> str:
    """The installed version; "0" in a checkout that is not installed."""
    try:
        return metadata.version("rise-relay")
    except metadata.PackageNotFoundError:
        return "0"


def machine() -> Machine:
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
    )


def tell(
    record: records.JobRecord,
    done: messages.JobDone,
    seconds: float,
    handoffs: Sequence[tuple[messages.HandoffSent, Path | None]],
    pictures: Sequence[Picture],
) -> Run:
    """A finished job in the report's terms. Handoffs of earlier attempts are left out."""
    decision = record.decision
    edges = {stage.index: (stage.sigma_from, stage.sigma_to) for stage in record.planned}
    stages = tuple(_stage(report, *edges.get(report.stage, (None, 0.0))) for report in done.stages)
    edge, device = (sum(s.seconds for s in stages if s.tier == tier) for tier in ("edge", "device"))
    return Run(
        job=record.job_id,
        seed=done.seed,
        state=records.JobState.COMPLETE,
        attempt=done.attempt,
        arm=done.arm,
        policy=decision.policy if decision else "",
        predicted=decision.predictions if decision else messages.Predictions(),
        context=decision.context if decision else {},
        seconds=seconds,
        edge_seconds=edge,
        device_seconds=device,
        overhead_seconds=max(0.0, seconds - edge - device),
        stages=stages,
        handoffs=tuple(_handoff(sent, path) for sent, path in handoffs if sent.attempt == done.attempt),
        pictures=tuple(pictures),
        digest=done.digest,
    )


def of_run(record: records.JobRecord, run: Run, warnings: Sequence[str] = ()) -> Report:
    """The report of one job."""
    spec = record.request.spec
    return Report(
        rise=version(),
        kind="run",
        prompt=spec.prompt,
        family=spec.family,
        seed=run.seed,
        machine=machine(),
        warnings=tuple(warnings),
        runs=(run,),
    )


def with_speedups(runs: Sequence[Run], baseline: str | None) -> tuple[Run, ...]:
    """Each run's speed relative to the one whose arm is `baseline`; unchanged where that was not measured."""
    base = next((run.seconds for run in runs if run.arm == baseline), None)
    if base is None:
        return tuple(runs)
    return tuple(
        run if run.arm == baseline or run.seconds <= 0 else run.model_copy(update={"speedup": base / run.seconds})
        for run in runs
    )


def _stage(report: messages.StageReport, sigma_from: float | None, sigma_to: float) -> StageTold:
    return StageTold(
        member=report.member,
        tier=report.tier,
        worker=report.worker,
        steps=report.steps,
        sigma_from=sigma_from,
        sigma_to=sigma_to,
        seconds=report.seconds,
        resumed_at=report.resumed_at,
        earlier_seconds=report.earlier_seconds,
        timings=report.timings,
    )


def _handoff(sent: messages.HandoffSent, preview: Path | None) -> HandoffTold:
    return HandoffTold(
        sigma=sent.sigma,
        nbytes=sent.nbytes,
        dtype=sent.dtype,
        seconds=sent.seconds,
        preview=str(preview) if preview else None,
    )
