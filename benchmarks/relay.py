"""`rise bench relay`: is a relay worth it? Speed end to end, quality by the judge, and the honest front.

Both sides run in one call on the same prompts and seeds. The relay that is timed end to end is one that the family's
manifest names; it was chosen on other prompts than these.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import torch

import rise_shapes
from benchmarks import _draw, _endtoend, _front, _intensity, _rows
from benchmarks._front import Point, Studio
from benchmarks._rows import Row, row
from rise_contracts.configuration import ArmStage, format_arm
from rise_contracts.resources import ModelFamily
from rise_stage.engine import Engine

LARGE_STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 24)
SMALL_STEPS = (1, 2, 4, 8, 16, 24)
HEADS = (1, 2, 3, 4, 6, 8, 9)
TAILS = (2, 6)
ORDER_STEPS = (4, 8)
"""Of the large member, where both orders are compared at equal cost."""
BUDGETS = (5, 10, 15, 25, 40)
GOALS = {5: "> 0", 10: "> 0", 15: "> 0", 25: "> 0", 40: ">= -0.01"}


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rise bench relay", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-relay.json"), help="where the rows go")
    parser.add_argument("--prompts", type=int, default=200, help="held-out prompts (default 200)")
    parser.add_argument("--relay", default="quality", help="which of the family's relays is timed end to end")
    parser.add_argument("--plots", type=Path, default=None, help="folder of the plots (default: beside the JSON file)")
    parser.add_argument("--skip-front", action="store_true", help="measure end to end only")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write rows, points and plots."""
    options = arguments(argv)
    family = rise_shapes.family()
    prompts = _front.held_out(options.prompts)
    large, relay = default_arm(family, "large"), relay_arm(family, options.relay)
    compared = _endtoend.compare([large, relay, default_arm(family, "small")], prompts, family)
    rows = list(end_to_end_rows(compared))
    plots = options.plots or options.json.parent
    if not options.skip_front:
        handoff = max(0.0, compared.sides[1].median("overhead_s") - compared.sides[0].median("overhead_s"))
        points, found = measure_front(family, prompts, handoff)
        rows += front_rows(points, large)
        plots.mkdir(parents=True, exist_ok=True)
        write_points(points, options.json.with_name(f"{options.json.stem}-points.json"))
        _draw.front(points, plots / "relay-front.png")
        _draw.departures(found, plots / "relay-intensity.png")
        print(points_table(points))
    _rows.report(rows, options.json)
    return 0


def write_points(points: Sequence[Point], file: Path) -> None:
    """All points, for whoever wants to draw them another way."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(point) for point in points], indent=1) + "\n")


def default_arm(family: ModelFamily, name: str) -> str:
    """A member alone at its default steps."""
    member = family.member(name)
    if member is None:
        raise SystemExit(f"the family {family.metadata.name} has no member {name!r}")
    return f"{name}:{member.default_steps}"


def relay_arm(family: ModelFamily, name: str) -> str:
    """One of the family's relays, as an arm."""
    for relay in family.spec.relays:
        if relay.name == name:
            return format_arm(ArmStage(stage.member, stage.steps, stage.until_sigma) for stage in relay.stages)
    raise SystemExit(f"no relay {name!r}; the family has {', '.join(relay.name for relay in family.spec.relays)}")


def end_to_end_rows(compared: _endtoend.Compared) -> Iterator[Row]:
    """Speed, quality and cost of the relay against the large member alone, through the bus and decoded."""
    large, relay, small = compared.sides
    n = len(relay.runs)
    speedup = large.median("seconds") / relay.median("seconds")
    yield _rows.inverse(
        "speedup", relay.median("seconds"), large.median("seconds"), "s", n, ">= 2.1", met=speedup >= 2.1
    )
    kept = relay.accuracy / large.accuracy if large.accuracy else 0.0
    yield row("quality_kept", relay.accuracy, large.accuracy, "share right", n, ">= 0.98", met=kept >= 0.98)
    yield row("large_accuracy", large.accuracy, None, "share right", n, ">= 0.90", met=large.accuracy >= 0.90)
    yield row(
        "device_only_accuracy", small.accuracy, large.accuracy, "share right", n, "<= 0.60", met=small.accuracy <= 0.6
    )
    saved = large.median("edge_s") - relay.median("edge_s")
    yield row("edge_seconds_saved", saved, large.median("edge_s"), "s", n, "> 0", met=saved > 0)
    overhead = relay.median("overhead_s")
    yield row("overhead", overhead, None, "s, p50", n, "<= 0.060", met=overhead <= 0.060)
    yield row("handoff_bytes", relay.median("handoff_bytes"), None, "bytes", n, "–")
    yield row("platform_ready", compared.ready_s, None, "s", 1, "<= 15", met=compared.ready_s <= 15)
    for worker, nbytes in sorted(compared.memory.items()):
        yield row(f"memory_{worker}", nbytes / 2**20, None, "MiB resident", 1, "stated")


def measure_front(
    family: ModelFamily, prompts: Sequence[_front.Prompt], handoff: float
) -> tuple[list[Point], list[_intensity.Departure]]:
    """Every point of the front, and the intensity departures, in this process."""
    members = [member.name for member in family.spec.members]
    torch.set_num_threads(1)
    engine = Engine.load(family, members)
    costs = _front.measure_costs(engine, members, handoff)
    # The costs are those of one core; judging quality may use all of them.
    torch.set_num_threads(os.cpu_count() or 1)
    studio = Studio(engine, prompts)
    points = []
    for kind, arm in arms(family):
        points.append(_front.measure(studio, arm, kind, costs))
        print(f"{arm:42s} {points[-1].accuracy:.3f} {1e3 * points[-1].latency_s:7.1f} ms", flush=True)
    steps = LARGE_STEPS[-1]
    return points, _intensity.departures(engine, prompts, steps, [name for name in members if name != "large"])


def arms(family: ModelFamily) -> Iterator[tuple[str, str]]:
    """Kind and name of every arm of the front."""
    for steps in LARGE_STEPS:
        yield "large", f"large:{steps}"
    for steps in SMALL_STEPS:
        yield "small", f"small:{steps}"
    for sigma in family.spec.handoffs:
        for head in HEADS:
            for tail in TAILS:
                yield "relay", f"large:{head}@{sigma}+finisher:{tail}"
            yield "training-free", f"large:{head}@{sigma}+small:8"
        for steps in ORDER_STEPS:
            yield "small-first", f"small:{steps}@{sigma}+large:{steps}"


def front_rows(points: Sequence[Point], large: str) -> Iterator[Row]:
    """The best relay less the best large run for the same edge seconds, at each budget, and the mean of it."""
    full = next(point for point in points if point.arm == large)
    gains = []
    for budget in BUDGETS:
        limit = full.edge_s * budget / 100
        relay, alone = (_best(points, kinds, limit) for kinds in (("relay", "training-free"), ("large",)))
        gain = relay - alone
        gains.append(gain)
        met = gain > 0 if budget <= 25 else gain >= -0.01
        yield row(
            f"edge_front_{budget:02d}", relay, alone, "share right", full.n, GOALS[budget], met=met, difference=True
        )
    mean = fmean(gains)
    yield row("edge_front", mean, None, "share right", full.n, ">= +0.05", met=mean >= 0.05)
    if {"training-free", "small-first"} <= {point.kind for point in points}:
        first, last = (_mean_by_head(points, kind) for kind in ("training-free", "small-first"))
        yield row("order", first, last, "share right", full.n, "–", difference=True)


def _best(points: Sequence[Point], kinds: Sequence[str], limit: float) -> float:
    """Best accuracy within a budget of edge seconds; 0 where nothing fits, for then there is no picture."""
    return max((point.accuracy for point in points if point.kind in kinds and point.edge_s <= limit), default=0.0)


def _mean_by_head(points: Sequence[Point], kind: str) -> float:
    """Best accuracy over the handoffs at each of `ORDER_STEPS`, averaged: equal cost in either order."""
    mine = [point for point in points if point.kind == kind]
    return fmean(max(p.accuracy for p in mine if f"large:{n}" in re.split(r"[@+]", p.arm)) for n in ORDER_STEPS)


def points_table(points: Sequence[Point]) -> str:
    """All points as a Markdown table."""
    lines = ["| arm | kind | right | clean | ms | edge ms |", "|---|---|---|---|---|---|"]
    for p in points:
        quality = f"{p.accuracy:.3f} | {p.cleanness:.2f}"
        lines.append(f"| `{p.arm}` | {p.kind} | {quality} | {1e3 * p.latency_s:.0f} | {1e3 * p.edge_s:.0f} |")
    return "\n".join(lines)
