"""The plot of a demo: utility over time, what the scheduler leads by, the arms that it chose, and the queues."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.demo.play import Run, Told
from benchmarks.demo.world import PHASES, PREFERENCES
from rise_cli import arms as described

OURS: Final = "#d1495b"
OTHERS: Final = (
    "#1b4965",
    "#5fa8d3",
    "#66a182",
    "#edae49",
    "#8d6a9f",
    "#9aa5b1",
    "#6c584c",
    "#adc178",
    "#2d3142",
    "#c8553d",
)
WISHES: Final = ("#edae49", "#66a182", "#1b4965")
PARTS: Final = 3
"""Points of the line of utility in each phase."""


def demo(runs: Sequence[Run], seconds: float, file: Path) -> None:
    """Four panels over one time axis; the first run is the scheduler's."""
    figure = Figure(figsize=(14, 15))
    panels: list[Axes] = list(figure.subplots(4, 1, sharex=True, height_ratios=(4, 4, 4, 3)))
    coloured = coloured_runs(runs)
    _utilities(panels[0], coloured, seconds)
    _leads(panels[1], coloured)
    _arms(panels[2], runs[0])
    _queues(panels[3], coloured)
    for axes in panels:
        _phases(axes, seconds)
    _name_phases(panels[0], seconds)
    panels[3].set_xlabel("seconds from the beginning of the list")
    panels[3].set_xlim(0, seconds)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(file, dpi=100)


def coloured_runs(runs: Sequence[Run]) -> list[tuple[Run, str]]:
    """The scheduler's run, then the others, the best first, each with its colour."""
    ranked = sorted(runs[1:], key=mean_utility, reverse=True)
    return [(runs[0], OURS), *((run, OTHERS[rank % len(OTHERS)]) for rank, run in enumerate(ranked))]


def mean_utility(run: Run) -> float:
    """Of all jobs of a run."""
    return fmean(told.utility for told in run.jobs)


def binned(jobs: Sequence[Told], seconds: float, parts: int) -> tuple[list[float], list[float]]:
    """The middle of each part of the run that has jobs, and their mean utility there."""
    length = seconds / parts
    by_part: dict[int, list[float]] = {}
    for told in jobs:
        by_part.setdefault(min(int(told.at / length), parts - 1), []).append(told.utility)
    middles = [(part + 0.5) * length for part in sorted(by_part)]
    return middles, [fmean(by_part[part]) for part in sorted(by_part)]


def leads(ours: Run, other: Run) -> list[float]:
    """Job by job, the sum so far of what ours was better by."""
    return list(accumulate(a.utility - b.utility for a, b in zip(ours.jobs, other.jobs, strict=True)))


def _utilities(axes: Axes, coloured: Sequence[tuple[Run, str]], seconds: float) -> None:
    for run, colour in coloured:
        at, values = binned(run.jobs, seconds, PARTS * len(PHASES))
        label = f"{mean_utility(run):+.3f}  {run.name if run.static else f'the scheduler ({run.name})'}"
        axes.plot(at, values, color=colour, label=label, **_weight(colour))
    axes.set_ylabel("mean utility of the jobs that came then")
    _legend(axes, "mean of the run")


def _leads(axes: Axes, coloured: Sequence[tuple[Run, str]]) -> None:
    ours = coloured[0][0]
    for run, colour in coloured[1:]:
        values = leads(ours, run)
        axes.plot([told.at for told in ours.jobs], values, color=colour, label=f"{values[-1]:+.1f}  {run.name}")
    axes.axhline(0, color=OURS, **_weight(OURS))
    axes.set_ylabel("what the scheduler leads by,\nutility summed over the jobs so far")
    _legend(axes, "in the end, against")


def _arms(axes: Axes, run: Run) -> None:
    """A point for each job, in the row of its arm; its colour is the preference."""
    decided = [told for told in run.jobs if told.arm]
    names = sorted({told.arm for told in decided}, key=_edge_steps)
    for place, (preference, colour) in enumerate(zip(PREFERENCES, WISHES, strict=True)):
        mine = [told for told in decided if told.preference == preference]
        heights = [names.index(told.arm) + 0.22 * (place - 1) for told in mine]
        axes.scatter([told.at for told in mine], heights, s=12, color=colour, label=f"{preference:g}")
    axes.set_yticks(range(len(names)), [described.brief(name) for name in names], fontsize=8)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_ylabel("what the scheduler chose")
    _legend(axes, "preference: 0 speed … 1 quality")


def _edge_steps(arm: str) -> tuple[int, str]:
    """Steps of the large member first, so that neighbours are alike."""
    steps = [int(part.split(":")[1].split("@")[0]) for part in arm.split("+") if part.startswith("large:")]
    return sum(steps), arm


def _queues(axes: Axes, coloured: Sequence[tuple[Run, str]]) -> None:
    for run, colour in coloured:
        counts = [sample.edge + sample.device for sample in run.samples]
        axes.plot([sample.at for sample in run.samples], counts, color=colour, **_weight(colour))
    axes.set_yscale("symlog", linthresh=10)
    most = max((sample.edge + sample.device for run, _ in coloured for sample in run.samples), default=1)
    axes.set_yticks([0, 5, 10, 20, 50, 100, 200], ["0", "5", "10", "20", "50", "100", "200"])
    axes.set_ylim(0, 1.2 * max(most, 5))
    axes.set_ylabel("tasks waiting or at work")
    axes.grid(alpha=0.25)


def _weight(colour: str) -> dict[str, Any]:
    return {"linewidth": 2.6, "zorder": 5} if colour == OURS else {"linewidth": 1.1, "zorder": 2}


def _legend(axes: Axes, title: str) -> None:
    axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), fontsize=8, title=title, title_fontsize=8)
    axes.grid(alpha=0.25)


def _phases(axes: Axes, seconds: float) -> None:
    length = seconds / len(PHASES)
    for index in range(0, len(PHASES), 2):
        axes.axvspan(index * length, (index + 1) * length, color="#000000", alpha=0.04, linewidth=0)


def _name_phases(axes: Axes, seconds: float) -> None:
    length = seconds / len(PHASES)
    for index, phase in enumerate(PHASES):
        text = f"{phase.name}\n{phase.rate:g} jobs/s"
        axes.text((index + 0.5) * length, 1.01, text, transform=axes.get_xaxis_transform(), ha="center", fontsize=9)
