"""`rise bench capacity`: pictures per second of the edge, relay against the large member alone, at equal quality.

The large member alone may take its best number of steps: the fewest that keep the quality that is asked for. That
quality is what it has at its default steps, less one point in a hundred. Both sides choose on one half of the prompts,
and are judged and compared on the other, which neither has seen; edge seconds are those of one core, with the words
encoded and, where the edge ends the picture, decoded.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

import rise_shapes
from benchmarks import _front, _rows
from benchmarks._front import Point, Studio
from benchmarks._rows import Row, row
from rise_stage.engine import Engine

LARGE_STEPS = (5, 6, 7, 8, 9, 10, 12, 24)
HEADS = (4, 5, 6, 7)
HANDOFFS = (0.6, 0.9, 1.3, 1.8)
TAIL = 6
ALLOWED = 0.01
"""What of the large member's accuracy may be given up, by either side."""


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    parser = argparse.ArgumentParser(prog="rise bench capacity", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-capacity.json"), help="where the rows go")
    parser.add_argument("--prompts", type=int, default=400, help="held-out prompts of each half (default 400)")
    options = parser.parse_args(argv)
    family = rise_shapes.family()
    torch.set_num_threads(1)
    engine = Engine.load(family, ["large", "finisher"])
    costs = _front.measure_costs(engine, ["large", "finisher"], 0.0)
    # The costs are those of one core; judging quality may use all of them.
    torch.set_num_threads(os.cpu_count() or 1)
    prompts = _front.held_out(2 * options.prompts)
    halves = [Studio(engine, part) for part in (prompts[options.prompts :], prompts[: options.prompts])]

    def measured(half: int, arm: str, kind: str) -> Point:
        point = _front.measure(halves[half], arm, kind, costs)
        print(
            f"{'choosing' if half == 0 else 'judging':9s}{arm:28s} {point.accuracy:.4f} {1e3 * point.edge_s:7.1f} ms",
            flush=True,
        )
        return point

    points = [measured(0, arm, kind) for kind, arm in arms()]
    full = next(point for point in points if point.arm == f"large:{LARGE_STEPS[-1]}")
    least = full.accuracy - ALLOWED
    chosen = {kind: cheapest(points, kind, least) for kind in ("relay", "large")}
    judged = {kind: measured(1, point.arm, kind) for kind, point in chosen.items()}
    rows = list(capacity_rows(judged["relay"], judged["large"], measured(1, full.arm, "large")))
    _rows.report(rows, options.json)
    return 0


def arms() -> Iterator[tuple[str, str]]:
    """Kind and name of every arm that is tried."""
    for steps in LARGE_STEPS:
        yield "large", f"large:{steps}"
    for sigma in HANDOFFS:
        for head in HEADS:
            yield "relay", f"large:{head}@{sigma}+finisher:{TAIL}"


def cheapest(points: Sequence[Point], kind: str, least: float) -> Point:
    """The point of fewest edge seconds with an accuracy of `least` or more. Raises ValueError where there is none."""
    return min((p for p in points if p.kind == kind and p.accuracy >= least), key=lambda p: p.edge_s)


def capacity_rows(relay: Point, best: Point, default: Point) -> Iterator[Row]:
    """Pictures per edge second, against the large member at its best and at its default steps, and both qualities."""
    ours = 1 / relay.edge_s
    for name, alone, goal in (
        ("images_per_edge_second", best, 1.5),
        ("images_per_edge_second_default", default, 3.0),
    ):
        theirs = 1 / alone.edge_s
        yield row(name, ours, theirs, "images/s", relay.n, f">= {goal:g}", met=ours / theirs >= goal)
    for name, alone in (("capacity_quality", best), ("capacity_quality_default", default)):
        yield row(name, relay.accuracy, alone.accuracy, "share right", relay.n, "–", difference=True)
