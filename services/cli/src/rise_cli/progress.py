"""Where a job stands, as far as its events tell: pure, event by event. `rise_cli.view` draws it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from rise_contracts import messages
from rise_contracts.configuration import Configuration
from rise_contracts.model import Tier


@dataclass(frozen=True)
class Bar:
    """One stage. `seconds_per_step` is the worker's own figure of its last step."""

    member: str
    tier: Tier
    steps: int
    worker: str = ""
    step: int = 0
    resumed_at: int = 0
    sigma: float | None = None
    seconds_per_step: float | None = None
    seconds: float | None = None
    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    handoff: messages.HandoffSent | None = None


@dataclass(frozen=True)
class Progress:
    """All of a job. Events of an attempt that is over change nothing."""

    attempt: int = 0
    bars: dict[int, Bar] = field(default_factory=dict)
    said: tuple[str, ...] = ()
    """What went wrong on the way, for a person: a worker lost, a stage tried again."""
    ending: messages.Ending | None = None


def plan(progress: Progress, configuration: Configuration, attempt: int) -> Progress:
    """Show the stages of the scheduler's answer before any of them has begun."""
    if attempt < progress.attempt or (attempt == progress.attempt and progress.bars):
        return progress
    bars = {stage.index: Bar(stage.member, stage.tier, stage.steps) for stage in configuration.stages}
    return replace(progress, attempt=attempt, bars=bars)


def advance(progress: Progress, event: messages.Event) -> Progress:
    """The progress after `event`. Events may be missing, repeated or late: nothing goes backwards."""
    if event.attempt < progress.attempt:
        return progress
    if event.attempt > progress.attempt:
        progress = replace(progress, attempt=event.attempt, bars={})
    if isinstance(event, messages.JobDone):
        # It may overtake the last stage's own word.
        for report in event.stages:
            progress = _with_bar(progress, report.stage, _done(progress.bars.get(report.stage), report))
        return replace(progress, ending=event)
    if isinstance(event, messages.JobFailed | messages.JobCancelled):
        return replace(progress, ending=event)
    bar = progress.bars.get(event.stage)
    match event:
        case messages.StageStarted():
            return _started(progress, event)
        case messages.StageProgress():
            bar = bar or Bar(event.member, event.tier, event.steps)
            # The worker could make nothing of the checkpoint that there was for it.
            anew = event.worker == bar.worker and 0 < event.step <= bar.resumed_at
            if bar.state == "done" or (event.step < bar.step and event.worker == bar.worker and not anew):
                return progress
            bar = replace(
                bar,
                resumed_at=0 if anew else bar.resumed_at,
                worker=event.worker,
                step=event.step,
                steps=event.steps,
                sigma=event.sigma,
                seconds_per_step=event.seconds_per_step,
                state="running",
            )
        case messages.HandoffSent():
            bar = replace(bar, handoff=event) if bar else None
        case messages.StageDone(report=report):
            bar = _done(bar, report)
        case messages.StageFailed():
            said = f"stage {event.stage} on {event.worker} failed ({event.reason}): {event.message}"
            bar = replace(bar, state="failed") if bar else None
            progress = replace(progress, said=(*progress.said, said))
    return progress if bar is None else _with_bar(progress, event.stage, bar)


def _done(bar: Bar | None, report: messages.StageReport) -> Bar:
    bar = bar or Bar(report.member, report.tier, max(report.steps, 1))
    return replace(bar, worker=report.worker, step=bar.steps, seconds=report.seconds, state="done")


def _started(progress: Progress, event: messages.StageStarted) -> Progress:
    bar = progress.bars.get(event.stage)
    if bar is not None and bar.state == "done":
        return progress
    if event.delivery > 1:
        how = f"goes on from step {event.resumed_at}" if event.resumed_at else "begins again"
        said = f"stage {event.stage} {how} on {event.worker}: an earlier worker did not finish it"
        progress = replace(progress, said=(*progress.said, said))
    new = Bar(
        event.member,
        event.tier,
        event.steps,
        event.worker,
        step=event.resumed_at,
        resumed_at=event.resumed_at,
        state="running",
    )
    if bar is not None and bar.worker == event.worker and event.delivery <= 1:
        new = replace(bar, state="running")  # a progress event was faster
    return _with_bar(progress, event.stage, new)


def _with_bar(progress: Progress, index: int, bar: Bar) -> Progress:
    return replace(progress, bars=dict(sorted({**progress.bars, index: bar}.items())))
