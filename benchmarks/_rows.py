"""The rows that a benchmark reports, and the machine that they were measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch


@dataclass(frozen=True)
class Row:
    """One figure: ours against theirs. ``goal`` says what the figure should be; ``met`` whether it is."""

    name: str
    ours: float
    theirs: float | None
    ratio: float | None
    unit: str
    n: int
    goal: str
    met: bool | None
    machine: str


def machine() -> str:
    """Processor, cores and the tensor library, in a line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}, torch {torch.__version__.split('+')[0]}"


def row(
    name: str,
    ours: float,
    theirs: float | None,
    unit: str,
    n: int,
    goal: str,
    *,
    met: bool | None = None,
    difference: bool = False,
) -> Row:
    """A row; its ratio is ours over theirs, or with ``difference`` ours less theirs."""
    ratio = None
    if theirs is not None:
        ratio = ours - theirs if difference else (ours / theirs if theirs else None)
    rounded = None if ratio is None else round(ratio, 4)
    return Row(
        name, round(ours, 4), None if theirs is None else round(theirs, 4), rounded, unit, n, goal, met, machine()
    )


def write(rows: Sequence[Row], file: Path) -> None:
    """Rows as a JSON list."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(item) for item in rows], indent=1) + "\n")


def report(rows: Sequence[Row], file: Path) -> None:
    """Write the rows, and show them as a table."""
    write(rows, file)
    print(table(rows))


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table."""
    lines = ["| figure | ours | theirs | ratio | unit | n | goal | met |", "|---|---|---|---|---|---|---|---|"]
    for item in rows:
        theirs, ratio = ("–" if value is None else f"{value:g}" for value in (item.theirs, item.ratio))
        met = {True: "yes", False: "no", None: "–"}[item.met]
        lines.append(
            f"| `{item.name}` | {item.ours:g} | {theirs} | {ratio} | {item.unit} | {item.n} | {item.goal} | {met} |"
        )
    return "\n".join(lines)


def inverse(name: str, ours: float, theirs: float, unit: str, n: int, goal: str, *, met: bool) -> Row:
    """A row of durations, whose ratio is theirs over ours: how many times as fast ours is."""
    return replace(row(name, ours, theirs, unit, n, goal, met=met), ratio=round(theirs / ours, 4))
