"""The decision log as a picture: the arms chosen over time, predicted against observed latency, the regret."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from rise_cli import decision_log, sheet
from rise_cli.decision_log import Point

COLOURS = {"edge-only": sheet.EDGE, "device-only": sheet.DEVICE, "relay": "#7a4fa3"}
MOST_ARMS = 14
"""Arms that get a line of their own; the rest share one."""


def draw(points: Sequence[Point]) -> bytes:
    """The picture of these decisions (one at least, in the order of time), as PNG."""
    names = decision_log.shares(points)
    rows = min(len(names), MOST_ARMS + 1)
    figure = Figure(figsize=(12, 6.2 + 0.27 * rows), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(0.9 + 0.27 * rows, 4.2))
    families = sorted({item.family for item in points})
    policies = sorted({item.policy for item in points})
    figure.suptitle(
        f"{len(points)} decisions by {', '.join(policies)} · family {', '.join(families)}",
        fontsize=13,
        x=0.01,
        ha="left",
    )
    _arms(figure.add_subplot(grid[0, :]), points, names)
    _latency(figure.add_subplot(grid[1, 0]), points)
    _regret(figure.add_subplot(grid[1, 1]), points)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()


def _arms(axes: Axes, points: Sequence[Point], names: Sequence[tuple[str, int]]) -> None:
    shown = [name for name, _ in names[:MOST_ARMS]]
    line = {name: index for index, name in enumerate(shown)}
    began, (unit, size) = points[0].at, _unit(points[-1].at - points[0].at)
    dot = 26 if len(points) < 1500 else 9

    def scatter(some: Sequence[Point], label: str, colour: str, **look: Any) -> None:
        if some:
            lines = [line.get(item.arm, len(shown)) for item in some]
            axes.scatter([(item.at - began) / size for item in some], lines, c=colour, label=label, **look)

    for kind, colour in COLOURS.items():
        scatter([item for item in points if item.kind == kind], kind, colour, s=dot, alpha=0.65, linewidths=0)
    scatter([item for item in points if item.failed], "failed", sheet.BAD, s=40, marker="x", linewidths=1.4)
    labels = _labels(names, len(points))
    axes.set_yticks(range(len(labels)), labels, fontsize=9)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_title("arms chosen", loc="left", fontsize=11)
    axes.set_xlabel(f"{unit} since {time.strftime('%d %b %H:%M', time.localtime(began))}", fontsize=9)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, fontsize=9, borderpad=0)
    axes.grid(axis="y", color=sheet.LINE, linewidth=0.6)
    _tidy(axes)


def _labels(names: Sequence[tuple[str, int]], total: int) -> list[str]:
    """Each arm's name and share, and one label for those that have no line of their own."""
    labels = [f"{name}   {_share(count / total)}" for name, count in names[:MOST_ARMS]]
    rest = names[MOST_ARMS:]
    if rest:
        labels.append(f"{len(rest)} other arms   {_share(sum(count for _, count in rest) / total)}")
    return labels


def _share(value: float) -> str:
    return "<1%" if value < 0.005 else f"{value:.0%}"


def _latency(axes: Axes, points: Sequence[Point]) -> None:
    axes.set_title("latency", loc="left", fontsize=11)
    known = [item for item in points if item.predicted_s and item.observed_s]
    accuracy = decision_log.accuracy(known)
    if accuracy is None:
        _say(axes, "no job has ended yet whose latency was predicted")
        return
    values = [seconds for item in known for seconds in (item.predicted_s or 0.0, item.observed_s or 0.0)]
    low, high = min(values) / 1.3, max(values) * 1.3
    ends = (low, high)
    axes.fill_between(ends, [low / 1.25, high / 1.25], [low * 1.25, high * 1.25], color="#eef1f4", label="within 25 %")
    axes.plot(ends, ends, color=sheet.MUTED, linewidth=1)
    for kind, colour in COLOURS.items():
        mine = [item for item in known if item.kind == kind]
        if mine:
            predicted, observed = [item.predicted_s for item in mine], [item.observed_s for item in mine]
            axes.scatter(predicted, observed, s=16, c=colour, alpha=0.55, linewidths=0)  # type: ignore[arg-type]
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel="predicted", ylabel="observed")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10, subs=_subs(low, high)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _seconds(value)))
        axis.set_minor_formatter(NullFormatter())
    _note(axes, f"{accuracy.n} jobs, median ratio {accuracy.ratio:.2f}, median error {accuracy.error:.0%}")
    axes.legend(loc="best", frameon=False, fontsize=9)
    _tidy(axes)


def _regret(axes: Axes, points: Sequence[Point]) -> None:
    axes.set_title("regret, estimated", loc="left", fontsize=11)
    judged = [item for item in points if item.missed is not None]
    if not judged:
        _say(axes, "nothing to estimate it by: no job has ended\nthat a policy which learns decided")
        return
    chosen = decision_log.cumulative([item.given_up for item in judged])
    real = decision_log.cumulative([item.missed for item in judged])
    numbers = range(1, len(judged) + 1)
    axes.axhline(0.0, color=sheet.LINE, linewidth=1)
    axes.plot(numbers, real, color=sheet.BAD, linewidth=1.6, label="by what the jobs were worth")
    axes.plot(numbers, chosen, color=sheet.EDGE, linewidth=1.6, label="given up knowingly")
    axes.set(xlabel="jobs that ended", ylabel="utility missed, summed", xlim=(0, len(judged) + 1))
    _note(axes, f"per job {real[-1] / len(judged):.3f}, of it knowingly {chosen[-1] / len(judged):.3f}")
    axes.legend(loc="best", frameon=False, fontsize=9)
    _tidy(axes)


def _unit(seconds: float) -> tuple[str, float]:
    """What a stretch of time is told in, and its seconds."""
    for name, size in (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return name, size
    return "seconds", 1.0


def _subs(low: float, high: float) -> tuple[float, ...]:
    """Where the ticks of a decade are: the more of them, the fewer decades there are."""
    decades = math.log10(high / low)
    return (1.0, 1.5, 2.0, 3.0, 5.0, 7.0) if decades < 1 else (1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)


def _seconds(value: float) -> str:
    return f"{value * 1000:g} ms" if value < 1 else f"{value:g} s"


def _note(axes: Axes, text: str) -> None:
    """Beside the title, where no point can hide it."""
    axes.set_title(text, loc="right", fontsize=9, color=sheet.MUTED)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=10, color=sheet.MUTED)
    axes.set(xticks=[], yticks=[])
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(sheet.LINE)
    axes.tick_params(colors=sheet.INK, length=3, labelsize=9)
