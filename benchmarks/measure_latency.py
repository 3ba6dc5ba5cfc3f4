"""`python -m benchmarks.measure_latency`: what each part of a job takes, on the real workers and over a real bus.

One job at a time, so that nothing waits for another: what is measured are the parts that a latency is made of, and what
the machine does to them while it is used by others (its load is written down). Arms take turns; every prompt is new, so
that no words come from memory. Each part is kept as its samples, from which a simulation can draw.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from pathlib import Path
from statistics import fmean, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

import rise_shapes
from benchmarks import _endtoend, _rows
from benchmarks._prompts import Asked, prompts
from rise_cli import sessions
from rise_cli.local.platform import Plan
from rise_contracts.messages import JobDone
from rise_contracts.records import JobRecord
from rise_contracts.resources import RelayJobSpec
from rise_runtime import client
from rise_runtime.bus import Bus

LATENCY_FILE: Final = Path(__file__).parent / "data" / "shapes-latency.json"
ARMS: Final = (
    "large:4",
    "large:12",
    "small:12",
    "large:3@1.8+finisher:6",
    "large:8@0.9+finisher:2",
    "large:5@1.3+small:8",
)
"""Every member at two step counts, both tiers ending a picture, both tails taking one over."""
WARM = 3


@dataclass(frozen=True)
class Sample:
    """One measured part of one job. ``part`` is a key of the file, such as ``step.large`` or ``handoff``."""

    part: str
    seconds: float


def main(argv: Sequence[str]) -> int:
    """Measure, write the file, print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure_latency", description=__doc__)
    parser.add_argument("--json", type=Path, default=LATENCY_FILE, help="where the figures go")
    parser.add_argument("--runs", type=int, default=40, help="of each arm (default 40)")
    options = parser.parse_args(argv)
    before = os.getloadavg()
    asked = prompts((options.runs + WARM) * len(ARMS))
    samples = asyncio.run(measure(asked))
    found = summary(samples)
    told = {"machine": _rows.machine(), "threads": 1, "batch": 1, "load_before": before, "load_after": os.getloadavg()}
    write({**told, "arms": ARMS, "runs": options.runs, "parts": found}, options.json)
    print(table(found))
    return 0


async def measure(asked: Sequence[Asked]) -> list[Sample]:
    """One prompt after another, the arms in turn; one edge and one device worker of one thread each."""
    family = rise_shapes.family()
    relays = {arm: _endtoend.fixed(arm, family) for arm in ARMS}
    samples: list[Sample] = []
    with TemporaryDirectory() as folder:
        place = Path(folder)
        async with sessions.driven(Plan(threads=1), place, place / "store", print, lambda text: None) as platform:
            for number, (item, arm) in enumerate(zip(asked, cycle(ARMS))):
                made = await _made(platform.bus, RelayJobSpec(prompt=item.text, seed=number, relay=relays[arm]))
                if number >= WARM * len(ARMS):
                    samples += made
    return samples


async def _made(bus: Bus, spec: RelayJobSpec) -> list[Sample]:
    record = await client.submit(bus, spec)
    ending = await client.wait(bus, record.job_id)
    if not isinstance(ending, JobDone):
        raise RuntimeError(f"job {record.job_id} ended as {ending.kind}: {ending}")
    return list(samples_of(record, ending, time.time()))


def samples_of(record: JobRecord, done: JobDone, known_at: float) -> Iterator[Sample]:
    """The parts of one job.

    ``accept`` is from acceptance to the head's start (the scheduler's answer and the queue included), ``handoff`` from
    the head's end to the tail's start, ``finish`` from the tail's end until who waits for the job knows (`known_at`).
    """
    before, first = record.request.accepted_at, done.stages[0]
    yield Sample("accept", first.started_at - before)
    for stage in done.stages:
        for part, seconds in stage.timings.items():
            if part == "denoise":
                yield Sample(f"step.{stage.member}", seconds / stage.steps)
            elif part in ("encode", "decode", "png", "pack", "receive"):
                yield Sample(f"{part}.{stage.tier}", seconds)
        yield Sample(f"rest.{stage.tier}", stage.seconds - sum(stage.timings.values()))
    for sender, receiver in pairwise(done.stages):
        yield Sample("handoff", receiver.started_at - sender.finished_at)
    yield Sample("finish", known_at - done.stages[-1].finished_at)


def summary(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Of each part: how many samples, their mean, some quantiles, and the samples in ascending order, seconds."""
    by_part: dict[str, list[float]] = defaultdict(list)
    for sample in samples:
        by_part[sample.part].append(max(sample.seconds, 0.0))
    return {part: _described(sorted(values)) for part, values in sorted(by_part.items())}


def _described(values: Sequence[float]) -> dict[str, Any]:
    cuts = quantiles(values, n=20, method="inclusive")
    named = {"p05": cuts[0], "p25": cuts[4], "p50": cuts[9], "p75": cuts[14], "p95": cuts[18]}
    rounded = {name: round(value, 6) for name, value in {"mean": fmean(values), **named}.items()}
    return {"n": len(values), **rounded, "samples": [round(value, 6) for value in values]}


def write(told: Mapping[str, Any], file: Path) -> None:
    """As JSON, each part on a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = {key: value for key, value in told.items() if key != "parts"}
    parts = ",\n".join(f'  "{part}": {json.dumps(found)}' for part, found in told["parts"].items())
    file.write_text(json.dumps(head, indent=1)[:-2] + f',\n "parts": {{\n{parts}\n }}\n}}\n')


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The parts as a Markdown table, milliseconds."""
    names = ("mean", "p05", "p50", "p95")
    lines = ["| part | n | mean | p05 | p50 | p95 |", "|---|---|---|---|---|---|"]
    for part, of in found.items():
        lines.append(f"| `{part}` | {of['n']} | " + " | ".join(f"{1e3 * of[name]:.1f}" for name in names) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
