"""Lists and explanations for people; the same as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pydantic import BaseModel
from rich.console import Console

from rise_cli import arms, explaining, follow, view
from rise_contracts import messages, records
from rise_contracts.decisions import DecisionRecord

MOST_PROMPT = 44


def jobs(found: Sequence[records.JobRecord], now: float, *, as_json: bool) -> None:
    if as_json:
        print(_json_list(found))
        return
    if not found:
        print('no jobs; hand one in with: rise submit "a red circle"')
        return
    rows = [
        (
            record.job_id,
            str(record.state),
            record.decision.arm if record.decision else "",
            _age(now - record.request.accepted_at),
            follow.why_waiting(record) or _short(record.request.spec.prompt),
        )
        for record in found
    ]
    show(view.table(("JOB", "STATE", "ARM", "AGE", "WHY IT WAITS, OR PROMPT"), rows))


def workers(found: Sequence[messages.Heartbeat], *, as_json: bool) -> None:
    if as_json:
        print(_json_list(found))
        return
    if not found:
        print("no workers; the platform has none, or they are starting")
        return
    rows = [
        (
            beat.worker,
            beat.tier,
            _state(beat),
            ", ".join(beat.members),
            _jobs_of(beat),
            ", ".join(f"{name} {view.seconds(value)}" for name, value in sorted(beat.seconds_per_step.items())),
            view.size(beat.rss_bytes),
        )
        for beat in sorted(found, key=lambda beat: (beat.tier != "edge", beat.worker))
    ]
    show(view.table(("WORKER", "TIER", "STATE", "MEMBERS", "JOBS", "SECONDS PER STEP", "MEMORY"), rows))


def _state(beat: messages.Heartbeat) -> str:
    """Whether it takes work, and whether its accelerator is slowed down."""
    state, heat = "ready" if beat.ready else "not ready", beat.accelerator
    if heat is None or not heat.throttled:
        return state
    return f"{state}, throttled" + (f" at {heat.temperature_c:.0f} °C" if heat.temperature_c is not None else "")


def _jobs_of(beat: messages.Heartbeat) -> str:
    """What a worker is at, and where it has several slots how many of them that takes."""
    taken = f"{len(beat.busy_jobs)}/{beat.slots}" if beat.slots > 1 else ""
    return " ".join(part for part in (taken, ", ".join(beat.busy_jobs)) if part)


def job(record: records.JobRecord, *, as_json: bool) -> None:
    if as_json:
        print(record.model_dump_json(indent=2))
        return
    lines = [("job", record.job_id), ("state", str(record.state)), ("prompt", record.request.spec.prompt)]
    lines.append(("seed", str(record.request.seed)))
    if record.decision is not None:
        lines.append(("arm", f"{arms.describe(record.decision.arm)} ({record.decision.arm})"))
    lines += [("attempt", str(record.attempt))] if record.attempt > 1 else []
    lines += [("waits", why)] if (why := follow.why_waiting(record)) else []
    lines += [_stage_line(record, status) for status in record.stages]
    if record.result is not None:
        lines.append(("result", f"{_made(record.result)}; rise result {record.job_id}"))
    if record.error is not None:
        lines.append(("error", f"{record.error.reason}: {record.error.message}"))
    for label, text in lines:
        print(f"{label:<9}{text}")


def _made(result: records.ResultRef) -> str:
    frames = result.images[0].frames
    if frames == 1:
        return arms.plural(len(result.images), "picture")
    return f"{arms.plural(len(result.images), 'video')} of {frames} frames"


def explain(record: records.JobRecord, note: DecisionRecord | None, *, as_json: bool) -> None:
    """Why the job waits, what was decided and why, what came of it."""
    if as_json:
        parts = {"job": record.model_dump(mode="json"), "decision": note.model_dump(mode="json") if note else None}
        print(json.dumps(parts, indent=2))
        return
    job(record, as_json=False)
    for failure in record.failures:
        print(f"{'failed':<9}attempt {failure.attempt}: {failure.reason}: {failure.message}")
    if note is None:
        gone = "none yet" if record.decision is None else "its note is gone; they are kept some days"
        print(f"{'decision':<9}{gone}")
        return
    for label, text in explaining.lines(note):
        print(f"{label:<9}{text}")
    rows = [explaining.row(candidate, note.decision.arm) for candidate in explaining.ranked(note.candidates)]
    show(view.table(explaining.RANKED, rows))


def _stage_line(record: records.JobRecord, status: records.StageStatus) -> tuple[str, str]:
    planned = record.decision.configuration.stages[status.index] if record.decision else None
    name = f"{planned.tier} {planned.member}" if planned else ""
    if status.report is not None:
        state = f"done on {status.report.worker} in {view.seconds(status.report.seconds)}"
    else:
        state = f"running on {status.worker}" if status.worker else "waiting"
    return f"stage {status.index}", f"{name}: {state}"


def _json_list(found: Sequence[BaseModel]) -> str:
    return json.dumps([item.model_dump(mode="json") for item in found], indent=2)


def _short(text: str) -> str:
    return text if len(text) <= MOST_PROMPT else text[: MOST_PROMPT - 1] + "…"


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def show(table: object) -> None:
    """Print a table."""
    # A pipe gets whole lines: what is cut off at 80 columns cannot be read by a script.
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=400)
    console.print(table)
