"""The plot of a demo: utility over time, the arms that the scheduler chose, and the queues."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.demo.play import Run, Told
from benchmarks.demo.world import PHASES, PREFERENCES
from rise_cli import arms as described

OURS, OTHERS = "#d1495b", ("#1b4965", "#5fa8d3", "#66a182", "#edae49", "#8d6a9f", "#9aa5b1", "#6c584c", "#adc178")
PARTS = 4
"""Points of the line of utility in each phase."""


def demo(runs: Sequence[Run], seconds: float, file: Path) -> None:
    """Three panels over one time axis; the first run is the scheduler's."""
    figure = Figure(figsize=(13, 12))
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=(5, 4, 3))
    _utilities(top, runs, seconds)
    _arms(middle, runs[0])
    _queues(bottom, runs)
    for axes in (top, middle, bottom):
        _phases(axes, seconds)
    _name_phases(top, seconds)
    bottom.set_xlabel("seconds from the beginning of the list")
    bottom.set_xlim(0, seconds)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def binned(jobs: Sequence[Told], seconds: float, parts: int) -> tuple[list[float], list[float]]:
    """The middle of each part of the run that has jobs, and their mean utility there."""
    length = seconds / parts
    by_part: dict[int, list[float]] = {}
    for told in jobs:
        by_part.setdefault(min(int(told.at / length), parts - 1), []).append(told.utility)
    middles = [(part + 0.5) * length for part in sorted(by_part)]
    return middles, [fmean(by_part[part]) for part in sorted(by_part)]


def mean_utility(run: Run) -> float:
    """Of all jobs of a run."""
    return fmean(told.utility for told in run.jobs)


def _utilities(axes: Axes, runs: Sequence[Run], seconds: float) -> None:
    ranked = sorted(runs[1:], key=mean_utility, reverse=True)
    for run, colour in zip(ranked, OTHERS * len(runs), strict=False):
        at, values = binned(run.jobs, seconds, PARTS * len(PHASES))
        axes.plot(at, values, color=colour, linewidth=1.2, label=f"{mean_utility(run):.3f}  {run.name}")
    at, values = binned(runs[0].jobs, seconds, PARTS * len(PHASES))
    label = f"{mean_utility(runs[0]):.3f}  the scheduler ({runs[0].name})"
    axes.plot(at, values, color=OURS, linewidth=2.8, label=label, zorder=5)
    axes.set_ylabel("mean utility of the jobs that came then")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        [handles[-1], *handles[:-1]],
        [labels[-1], *labels[:-1]],
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        fontsize=8,
        title="mean of the run",
    )
    axes.grid(alpha=0.25)


def _arms(axes: Axes, run: Run) -> None:
    """A point for each job, in the row of its arm; its colour is the preference."""
    names = sorted({told.arm for told in run.jobs}, key=_cost)
    rows = {name: row for row, name in enumerate(names)}
    for preference, colour in zip(PREFERENCES, ("#edae49", "#66a182", "#1b4965"), strict=True):
        mine = [told for told in run.jobs if told.preference == preference]
        offset = 0.22 * (PREFERENCES.index(preference) - 1)
        heights = [rows[told.arm] + offset for told in mine]
        axes.scatter([told.at for told in mine], heights, s=14, color=colour, label=f"preference {preference:g}")
    axes.set_yticks(range(len(names)), [described.brief(name) for name in names], fontsize=8)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_ylabel("what the scheduler chose")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    axes.grid(alpha=0.25, axis="y")


def _cost(arm: str) -> tuple[int, str]:
    """Steps of the large member first, so that neighbours are alike."""
    steps = [int(part.split(":")[1].split("@")[0]) for part in arm.split("+") if part.startswith("large:")]
    return sum(steps), arm


def _queues(axes: Axes, runs: Sequence[Run]) -> None:
    """Tasks at both tiers together, under the scheduler and under each static configuration."""
    ranked = sorted(runs[1:], key=mean_utility, reverse=True)
    for run, colour in [*zip(ranked, OTHERS * len(runs), strict=False), (runs[0], OURS)]:
        values = np.array([sample.edge + sample.device for sample in run.samples])
        width = 2.4 if run is runs[0] else 1.0
        axes.plot([sample.at for sample in run.samples], values, color=colour, linewidth=width)
    axes.set_yscale("symlog", linthresh=4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("tasks waiting or at work")
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
