"""`rise bench batch`: what jobs gain from sharing forward passes, step by step.

The jobs are heads of the embedded family's large member: other handoffs, steps, guidance and prompts for each. A head
is timed from its words to the bytes that it hands over: encoding, steps, packing. All is in one process, without the
bus. N jobs are at work at once until all are done. Against them stand the same jobs one after another, and the same in
groups of N that start together, keep all their rows until the longest has ended, and only then make room (whole-job
batching).
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import torch

import rise_shapes
from benchmarks import _front, _rows
from benchmarks._rows import Row, row
from rise_contracts.configuration import Configuration
from rise_contracts.model import WireDtype
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.asking import Asking, alone
from rise_stage.engine.batch import TOLERANCE, Answer, Ask, Batch
from rise_stage.engine.engine import handed_over
from rise_stage.engine.latents import Origin, encode_handoff
from rise_stage.quiet import quiet
from rise_stage.rounds import Rounds

SIZES = (1, 2, 4, 8, 16)
STEPS = (3, 4, 6, 8, 10)
GUIDANCE = (1.0, 1.0, 4.0)
WIRE: WireDtype = "fp16"


@dataclass(frozen=True)
class Head:
    """One job's head."""

    number: int
    prompt: str
    configuration: Configuration


@dataclass(frozen=True)
class Made:
    """What a head came to: the latent that it ended at, and the bytes of it that it hands over."""

    x: torch.Tensor
    payload: bytes


@dataclass(frozen=True)
class Speeds:
    """Images per second: one after another, and by N in company and by N in groups."""

    one_by_one: float
    company: dict[int, float]
    groups: dict[int, float]


Mode = Callable[[Engine, Sequence[Head]], list[Made]]


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rise bench batch", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-batch.json"), help="where the rows go")
    parser.add_argument("--jobs", type=int, default=48, help="jobs of each run (default 48)")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each kind, of which the median counts")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, as the worker's (default 1)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    options = arguments(argv)
    quiet()
    torch.set_num_threads(options.threads)
    engine = Engine.load(rise_shapes.family(), ["large"])
    engine.warm("large")
    every = heads(engine, options.jobs)
    farthest = far(in_company(engine, every, 8), one_by_one(engine, every))
    speeds = measure(engine, every, options.repeats)
    rows = [*speed_rows(speeds, len(every)), distance_row(farthest, len(every))]
    _rows.report(rows, options.json)
    return 0


def heads(engine: Engine, count: int) -> list[Head]:
    """Heads that differ in handoff, steps, guidance, prompt and seed; always the same ones."""
    sigmas = engine.manifest.spec.handoffs
    found = []
    for number, prompt in enumerate(_front.held_out(count)):
        guidance = GUIDANCE[number % len(GUIDANCE)]
        arm = f"large:{STEPS[number % len(STEPS)]}@{sigmas[number % len(sigmas)]}+finisher:4"
        configuration = configuration_of(arm, engine.manifest, wire_dtype=WIRE, guidance=[guidance] * 2)
        found.append(Head(number, prompt.text, configuration))
    return found


def one_by_one(engine: Engine, every: Sequence[Head]) -> list[Made]:
    return [alone(_work(engine, head)) for head in every]


def in_company(engine: Engine, every: Sequence[Head], size: int) -> list[Made]:
    """`size` of them at once, as a worker with so many slots has it: the next one begins when one has ended."""
    rounds = Rounds(Batch())
    # A thread passes the interpreter on only when asked to; callers that begin together wait for each other.
    begun = threading.Barrier(min(size, len(every)))
    with ThreadPoolExecutor(max_workers=size, initializer=begun.wait) as callers:
        return list(callers.map(lambda head: rounds.run(partial(_work, engine, head), lambda: None), every))


def in_groups(engine: Engine, every: Sequence[Head], size: int) -> list[Made]:
    """`size` that start together and leave together."""
    made: list[Made] = []
    for start in range(0, len(every), size):
        made += _group([_work(engine, head) for head in every[start : start + size]])
    return made


def _group(works: Sequence[Asking[Made]]) -> list[Made]:
    asks: list[Ask] = [next(work) for work in works]
    made: dict[int, Made] = {}
    while len(made) < len(works):
        # The rows of those that have ended stay in the batch, which is the price of batching whole jobs.
        for at, answer in enumerate(Batch().forward(asks)):
            assert isinstance(answer, Answer)
            if at in made:
                continue
            try:
                asks[at] = works[at].send(answer)
            except StopIteration as end:
                made[at] = end.value
    return [made[at] for at in range(len(works))]


def _work(engine: Engine, head: Head) -> Asking[Made]:
    configuration = head.configuration
    prompts = engine.encode([head.prompt], configuration.stages[0].guidance)
    grid = engine.grid(configuration, 0)
    noise = engine.noise([head.number])
    step = yield from engine.ask("large", prompts, noise, grid, configuration.solver, lambda step, cost: None)
    latent = handed_over(step.latent, configuration, 0)
    origin = Origin(f"job-{head.number}", 1, 0)
    _, payload = encode_handoff(latent, origin, engine.name, engine.latent_contract, WIRE, configuration.solver)
    return Made(step.x, payload)


def far(found: Sequence[Made], wanted: Sequence[Made]) -> float:
    """The largest difference of a head in company from the same head alone, as a share of its largest value."""
    pairs = zip(found, wanted, strict=True)
    return max(float((a.x - b.x).abs().max() / b.x.abs().max()) for a, b in pairs)


def measure(engine: Engine, every: Sequence[Head], repeats: int) -> Speeds:
    """Medians over `repeats` runs of each kind, which take turns, so that a busy moment strikes them all."""
    modes: dict[tuple[str, int], Mode] = {("one", 1): one_by_one}
    for size in SIZES:
        modes["company", size] = partial(in_company, size=size)
        modes["groups", size] = partial(in_groups, size=size)
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in modes}
    for number in range(repeats + 1):
        for key, mode in modes.items():
            began = perf_counter()
            mode(engine, every)
            if number > 0:  # the first time makes the graphs of the shapes that come often
                seconds[key].append(perf_counter() - began)
        print(f"run {number} of {repeats} is over", flush=True)
    speed = {key: len(every) / median(times) for key, times in seconds.items()}
    company, groups = ({size: speed[kind, size] for size in SIZES} for kind in ("company", "groups"))
    return Speeds(speed["one", 1], company, groups)


def speed_rows(speeds: Speeds, jobs: int) -> Iterator[Row]:
    """Company against one after another, and against whole-job batching of the same size."""
    for size, speed in speeds.company.items():
        ratio = speed / speeds.one_by_one
        goal, met = (">= 0.97", ratio >= 0.97) if size == 1 else ("> 1", ratio > 1)
        yield row(f"batch_{size}", speed, speeds.one_by_one, "images/s", jobs, goal, met=met)
    for size, speed in speeds.company.items():
        if size > 1:
            groups = speeds.groups[size]
            yield row(f"batch_{size}_whole", speed, groups, "images/s", jobs, "> 1", met=speed > groups)


def distance_row(farthest: float, jobs: int) -> Row:
    """How far company moves a latent."""
    share = farthest / TOLERANCE
    return row("batch_distance", share, None, f"of {TOLERANCE:g}", jobs, "<= 1", met=share <= 1)
