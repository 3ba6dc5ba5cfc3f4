"""The plots: quality against latency and edge seconds, and the latent's intensity after a handoff."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks._front import Point
from benchmarks._intensity import Departure

STYLES = {
    "large": ("#1b4965", "o", "large alone, fewer steps"),
    "small": ("#9aa5b1", "s", "small alone"),
    "relay": ("#d1495b", "^", "relay large → finisher"),
    "training-free": ("#edae49", "v", "relay large → small (training-free)"),
    "small-first": ("#66a182", "D", "relay small → large"),
}


def front(points: Sequence[Point], file: Path) -> None:
    """Two panels: every point, and for each kind the line of the best at that price."""
    figure = Figure(figsize=(13, 5.2))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, field, label in (
        (panels[0], "latency_s", "seconds to the picture"),
        (panels[1], "edge_s", "edge seconds"),
    ):
        for kind, (colour, marker, name) in STYLES.items():
            mine = [(getattr(p, field), p.accuracy) for p in points if p.kind == kind]
            if mine:
                xs, ys = zip(*mine, strict=True)
                axes.scatter(xs, ys, s=18, color=colour, marker=marker, alpha=0.55, label=name)
                _best_line(axes, mine, colour)
        axes.set_xlabel(f"{label} (one picture, one core)")
        axes.grid(alpha=0.25)
        axes.set_xlim(left=0)
        axes.set_ylim(0, 1.02)
    panels[0].set_ylabel("held-out prompts wholly right")
    panels[0].legend(loc="lower right", fontsize=8)
    _save(figure, file)


def _best_line(axes: Axes, points: Sequence[tuple[float, float]], colour: str) -> None:
    best, line = -1.0, []
    for x, y in sorted(points):
        if y > best:
            line.append((x, y))
            best = y
    line.append((max(x for x, _ in points), best))
    xs, ys = zip(*line, strict=True)
    axes.step(xs, ys, where="post", color=colour, linewidth=1.6)


def departures(found: Sequence[Departure], file: Path) -> None:
    """One panel for each measure of intensity, one line for each member."""
    figure = Figure(figsize=(13, 4))
    panels = figure.subplots(1, 3)
    for axes, field in zip(panels, ("norm", "std", "mean"), strict=True):
        for member in dict.fromkeys(item.member for item in found):
            mine = sorted((item.sigma, 100 * getattr(item, field)) for item in found if item.member == member)
            xs, ys = zip(*mine, strict=True)
            axes.plot(xs, ys, marker="o", markersize=3, label=f"large → {member}")
        axes.set_xscale("log")
        axes.set_xlabel("sigma of the handoff")
        axes.set_title({"norm": "norm", "std": "deviation", "mean": "mean (of a deviation)"}[field])
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("departure from the uncut run, %")
    panels[0].legend(fontsize=8)
    _save(figure, file)


def _save(figure: Figure, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(file, dpi=110)
