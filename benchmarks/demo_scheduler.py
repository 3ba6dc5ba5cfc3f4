"""`make demo-scheduler`: the scheduler against every static configuration, on the real platform and measured.

One edge worker and two device workers of different speeds, each behind a link of its own, serve a list of jobs that is
fixed in advance, with prompts, seeds, preferences and moments; meanwhile load, links and machines drift. The list is
played once under the scheduler, which has learned nothing before, and once under each configuration that it may choose
from. Utility is the scheduler's reward of what was measured: seconds until the end of a job was heard of,
and the judge's verdict on its picture.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean, quantiles, stdev
from tempfile import TemporaryDirectory

import rise_shapes
from benchmarks import _rows
from benchmarks._rows import Row, row
from benchmarks.demo import draw
from benchmarks.demo.play import Run, Way, play_all, scored
from benchmarks.demo.world import jobs
from rise_contracts.resources import ModelFamily
from rise_scheduler.arms import canonical_arms


def main(argv: Sequence[str]) -> int:
    """Play all runs, print the table, write rows, jobs and plot."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo_scheduler", description=__doc__)
    parser.add_argument(
        "--minutes", type=float, default=30.0, help="that all runs take together (30); starting is extra"
    )
    parser.add_argument(
        "--policies", nargs="+", default=[None], help="of the scheduler, the first compared with all (its own default)"
    )
    parser.add_argument("--arms", nargs="*", default=None, help="static configurations (default: all of the family)")
    parser.add_argument("--json", type=Path, default=Path("out/demo-scheduler.json"), help="where the rows go")
    options = parser.parse_args(argv)
    family = rise_shapes.family()
    ways = [*(Way(policy=name) for name in options.policies), *statics(family, options.arms)]
    seconds = 60.0 * options.minutes / len(ways)
    asked = jobs(seconds)
    print(f"{len(ways)} runs of {len(asked)} jobs in {seconds:.0f} s each", flush=True)
    with TemporaryDirectory() as folder:
        played = asyncio.run(play_all(ways, asked, seconds, Path(folder), family))
    runs = [scored(run, played[0].reference_s) for run in played]
    runs_file = options.json.with_name(f"{options.json.stem}-runs.json")
    runs_file.parent.mkdir(parents=True, exist_ok=True)
    runs_file.write_text(json.dumps({"seconds": seconds, "runs": [asdict(run) for run in runs]}) + "\n")
    draw.demo(runs, seconds, options.json.with_suffix(".png"))
    _rows.report(list(demo_rows(runs)), options.json)
    return 0


def statics(family: ModelFamily, wanted: Sequence[str] | None) -> list[Way]:
    """One for each arm that is wanted, None for all that the scheduler has of the family."""
    names = [arm.name for arm in canonical_arms(family)] if wanted is None else wanted
    return [Way(arm=name) for name in names]


def demo_rows(runs: Sequence[Run]) -> Iterator[Row]:
    """The scheduler, which is the first run, against each other one: utility, tails, pictures, edge seconds."""
    ours, others = runs[0], runs[1:]
    best = max((run for run in others if run.static), key=draw.mean_utility)
    yield _lead("demo_utility_vs_best", ours, best)
    for other in others:
        yield _lead(f"demo_utility_vs_{other.name}", ours, other)
    for name, of, unit in (
        ("demo_latency_p95", latency_p95, "s"),
        ("demo_right", right, "share right"),
        ("demo_edge_seconds", edge_seconds, "s per job"),
    ):
        yield row(name, of(ours), of(best), unit, len(ours.jobs), "–")


def _lead(name: str, ours: Run, other: Run) -> Row:
    """The mean of the paired differences, with its 95 % interval."""
    mean, half = paired(ours, other)
    goal = f"> 0; 95 %: {mean - half:+.3f} to {mean + half:+.3f}"
    mine, theirs = draw.mean_utility(ours), draw.mean_utility(other)
    return row(name, mine, theirs, "utility", len(ours.jobs), goal, met=mean > 0, difference=True)


def paired(ours: Run, other: Run) -> tuple[float, float]:
    """Mean of the differences job by job, and half the width of its normal 95 % interval."""
    differences = [a.utility - b.utility for a, b in zip(ours.jobs, other.jobs, strict=True)]
    return fmean(differences), 1.96 * stdev(differences) / math.sqrt(len(differences))


def latency_p95(run: Run) -> float:
    """Seconds."""
    return quantiles([told.latency_s for told in run.jobs], n=20, method="inclusive")[18]


def right(run: Run) -> float:
    """Share of the jobs whose picture is wholly right."""
    return fmean(told.quality for told in run.jobs)


def edge_seconds(run: Run) -> float:
    """Of the edge's time per job."""
    return fmean(told.edge_s for told in run.jobs)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
