"""What a run prints when it is over: the report as JSON, or what happened in a few lines."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rise_cli import arms, view, written
from rise_cli import report as reports
from rise_contracts import frames


def tell(report: reports.Report, out: Path, *, as_json: bool) -> None:
    """Write the report beside the pictures, then print."""
    stem = Path(report.sheet).stem if report.sheet else report.runs[0].job
    path = written.report(report, out / f"{stem}.json")
    if as_json:
        print(report.model_dump_json(indent=2))
        return
    console = Console(highlight=False, soft_wrap=True)
    if report.kind == "compare":
        _compare(console, report)
    else:
        _single(console, report)
    console.print(_line("report", str(path)))


def _single(console: Console, report: reports.Report) -> None:
    run = report.runs[0]
    console.print(_line("arm", f"{arms.describe(run.arm)}{_chosen(run)}"))
    for picture in run.pictures:
        console.print(_picture(picture))
    for handoff in run.handoffs:
        text = f"σ {handoff.sigma:.3g} · {view.size(handoff.nbytes)} {handoff.dtype} · {view.seconds(handoff.seconds)}"
        console.print(_line("handoff", text, Text(handoff.preview or "")))
    console.print(_line("time", _times(run)))
    for other in report.runs[1:]:
        text = f"{arms.describe(other.arm)}, timed here too: {view.seconds(other.seconds)}"
        console.print(_line("against", text))
        console.print(_line("", _against(run, other)))


def _picture(picture: reports.Picture) -> Text:
    if picture.frames == 1:
        return _line("picture", picture.path, _verdict(picture.verdict))
    return _line("video", f"{picture.path}, {picture.frames} frames at {frames.PER_SECOND} a second")


def _against(run: reports.Run, other: reports.Run) -> str:
    speed = run.speedup or 1.0
    text = f"this was {speed:.2f} times as fast" if speed >= 1 else f"this took {1 / speed:.2f} times as long"
    saved = 1 - run.edge_seconds / other.edge_seconds if other.edge_seconds > 0 else 0.0
    return f"{text}, with {saved:.0%} of the edge's time saved" if saved > 0 else text


def _compare(console: Console, report: reports.Report) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("arm", "seconds", "edge s", "speed", "judge"):
        table.add_column(name, justify="right" if name in ("seconds", "edge s", "speed") else "left")
    for run in report.runs:
        speed = "1" if run.speedup is None else f"{run.speedup:.2f}×"
        verdict = _verdict(run.pictures[0].verdict)
        table.add_row(arms.describe(run.arm), f"{run.seconds:.2f}", f"{run.edge_seconds:.2f}", speed, verdict)
    console.print(table)
    console.print(_line("sheet", report.sheet or ""))


def _chosen(run: reports.Run) -> str:
    if not run.policy:
        return ""
    return ", as asked" if run.policy == "job" else f", chosen by policy {run.policy}"


def _times(run: reports.Run) -> str:
    parts = [f"{stage.tier} {view.seconds(stage.seconds)}{_resumed(stage)}" for stage in run.stages]
    text = f"{view.seconds(run.seconds)}: {', '.join(parts)}, the rest {view.seconds(run.overhead_seconds)}"
    expected = run.predicted.latency_s
    return f"{text} (predicted {view.seconds(expected)})" if expected is not None else text


def _resumed(stage: reports.StageTold) -> str:
    if not stage.resumed_at:
        return ""
    return f" from step {stage.resumed_at}, after {view.seconds(stage.earlier_seconds)} on a worker that did not end it"


def _verdict(verdict: reports.Verdict | None) -> Text:
    if verdict is None:
        return Text("not judged", style="dim")
    if verdict.ok:
        return Text("✓ as the prompt says", style="green")
    return Text(f"✗ {'; '.join(verdict.reasons) or 'not what the prompt says'}", style="red")


def _line(label: str, text: str, more: Text | None = None) -> Text:
    line = Text(f"{label:<9}", style="dim")
    line.append(text, style="not dim")
    if more is not None and more.plain:
        line.append("  ")
        line.append_text(more)
    return line
