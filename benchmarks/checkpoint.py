"""`rise bench checkpoint`: what checkpoints cost a stage, and what a death costs it with them.

One stage of the embedded family's large member is computed over and over by the worker's own handler, by turns with
checkpoints and without. They go to a real server, from an event loop beside the handler, as in a worker. What is lost
is measured on the same stages: at each moment, the work since the newest checkpoint that the server had by then.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory

import torch

import rise_shapes
from benchmarks import _front, _rows
from benchmarks._rows import Row, row
from rise_cli.local import nats_server
from rise_contracts import codec, messages, subjects
from rise_contracts.messages import JobRequest, StageTask
from rise_contracts.resources import RelayJobSpec
from rise_runtime import layout
from rise_runtime.bus import Bus, Incoming, connect
from rise_runtime.checkpoints import Checkpoints
from rise_runtime.reporter import Storing
from rise_runtime.seam import Checkpoint, Identity, StageContext
from rise_stage.checkpoints import EVERY_S
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.handler import Handler
from rise_stage.quiet import quiet

READY_S = 30.0


@dataclass
class Watched:
    """Passes checkpoints on to the bus, and notes by their steps when each was made, and when the server had it.

    `sent_s` is what sending those took of the process's time that were stored when the next one came.
    """

    inner: Checkpoints
    made: dict[int, float] = field(default_factory=dict)
    stored: dict[int, float] = field(default_factory=dict)
    seconds: float = 0.0
    sent_s: float = 0.0

    def give(self, checkpoint: Checkpoint) -> None:
        self.made[checkpoint.step] = time.perf_counter()
        self.inner.give(checkpoint)
        self.seconds = self.inner.seconds
        self.sent_s += self.seconds

    def hear(self, message: Incoming) -> None:
        self.stored[codec.decode(messages.Checkpoint, message.data).step] = time.perf_counter()


@dataclass(frozen=True)
class Stage:
    """One run: when it began and ended, and when each of its checkpoints was made and was at the server.

    `spent_s` is what making and sending them took of the process's time.
    """

    began: float
    ended: float
    made: tuple[float, ...] = ()
    stored: tuple[float, ...] = ()
    spent_s: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True)
class Loss:
    """Seconds of work that a death costs: at the worst moment, and at one that is as likely as any other."""

    worst: float
    mean: float


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rise bench checkpoint", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-checkpoint.json"), help="where the rows go")
    parser.add_argument("--pairs", type=int, default=25, help="stages of each kind (default 25)")
    parser.add_argument("--steps", type=int, default=200, help="steps of a stage (default 200)")
    parser.add_argument("--images", type=int, default=4, help="images of a stage (default 4)")
    parser.add_argument("--every", type=float, default=EVERY_S, help=f"seconds between two (default {EVERY_S:g})")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    options = arguments(argv)
    quiet()
    torch.set_num_threads(1)
    engine = Engine.load(rise_shapes.family(), ["large"])
    token = secrets.token_hex(16)
    with _server(token) as url:
        kept, bare = asyncio.run(_measure(engine, options, url, token))
    rows = list(checkpoint_rows(kept, bare, options.every))
    _rows.report(rows, options.json)
    return 0


def checkpoint_rows(kept: Sequence[Stage], bare: Sequence[Stage], every: float) -> Iterator[Row]:
    """The cost from stages by turns with checkpoints and without, and what a death costs with them."""
    n = len(kept)
    seconds, without = (median(stage.seconds for stage in stages) for stages in (kept, bare))
    yield row("checkpoint_cost", seconds, without, "s of a stage, p50", n, "<= 1.01", met=seconds / without <= 1.01)
    # Neighbours have the same machine; the median of their ratios is free of what drifts.
    paired = median(one.seconds / other.seconds for one, other in zip(kept, bare, strict=True))
    yield row("checkpoint_cost_paired", paired, None, "ratio, p50", n, "<= 1.01", met=paired <= 1.01)
    # That difference is one of a few thousandths between stages that differ by tenths. What is counted is surer.
    spent = median(stage.spent_s for stage in kept)
    yield row("checkpoint_spent", spent, seconds, "s of a stage, p50", n, "<= 0.01", met=spent / seconds <= 0.01)
    losses = [loss(stage) for stage in kept]
    worst, average = max(one.worst for one in losses), fmean(one.mean for one in losses)
    limit = 1.5 * every
    yield row("checkpoint_lost_s", worst, without, "s, worst moment", n, f"<= {limit:g}", met=worst <= limit)
    yield row("checkpoint_lost_mean_s", average, without / 2, "s, any moment", n, "–")
    yield row("checkpoint_count", fmean(len(stage.stored) for stage in kept), None, "per stage", n, "–")


def loss(stage: Stage) -> Loss:
    """What a death loses: at the server's newest checkpoint it is the time since that was made, and it grows."""
    areas, worst = 0.0, 0.0
    since, moment = stage.began, stage.began
    for made, stored in (*zip(stage.made, stage.stored, strict=True), (stage.ended, stage.ended)):
        low, high = moment - since, stored - since
        worst = max(worst, high)
        areas += (high * high - low * low) / 2
        since, moment = made, stored
    return Loss(worst, areas / stage.seconds)


async def _measure(
    engine: Engine, options: argparse.Namespace, url: str, token: str
) -> tuple[list[Stage], list[Stage]]:
    handlers = [_handler(engine, every) for every in (options.every, 0.0)]
    sides: tuple[list[Stage], list[Stage]] = ([], [])
    prompts = _front.held_out(options.pairs + 1)
    async with connect(url, token, name="rise-bench", patience=READY_S) as bus:
        await layout.ensure(bus)
        for number, prompt in enumerate(prompts):
            # Who comes first changes with each pair, and the first pair only warms up.
            for side in (0, 1) if number % 2 else (1, 0):
                task = _task(engine, prompt, number, options)
                stage = await _run(bus, handlers[side], task)
                if number:
                    sides[side].append(stage)
            if number:
                print(
                    f"{number:3d} {sides[0][-1].seconds:8.3f} s with, {sides[1][-1].seconds:8.3f} s without", flush=True
                )
    return sides


def _handler(engine: Engine, every: float) -> Handler:
    return Handler([engine.manifest], lambda family: engine, checkpoint_s=every)


def _task(engine: Engine, prompt: _front.Prompt, number: int, options: argparse.Namespace) -> StageTask:
    spec = RelayJobSpec(family=engine.name, prompt=prompt.text, images=options.images)
    return StageTask(
        job_id=f"job-{number}",
        attempt=1,
        stage_index=0,
        request=JobRequest(job_id=f"job-{number}", spec=spec, seed=prompt.seed, accepted_at=time.time()),
        configuration=configuration_of(f"large:{options.steps}", engine.manifest),
    )


async def _run(bus: Bus, handler: Handler, task: StageTask) -> Stage:
    store = Watched(Checkpoints(bus, task, Storing(bus)))
    context = StageContext(Identity("edge-0", "edge", "edge"), 1, None, store)
    heard = await bus.subscribe(subjects.checkpoint(task.configuration.stages[0].lane, task.job_id, 1, 0), store.hear)
    await bus.barrier()
    sending = asyncio.create_task(store.inner.run())
    began = time.perf_counter()
    result = await asyncio.to_thread(handler, task, b"", context)
    ended = time.perf_counter()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    await heard.stop()
    await store.inner.drop()
    kept = [(store.made[step], at) for step, at in sorted(store.stored.items()) if at <= ended]
    spent = result.timings.get("checkpoint", 0.0) + store.sent_s + store.inner.seconds
    return Stage(began, ended, tuple(made for made, _ in kept), tuple(stored for _, stored in kept), spent)


@contextmanager
def _server(token: str) -> Iterator[str]:
    """The address of a server of our own."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        program = nats_server.prepare(
            nats_server.Settings(folder, folder / "store", folder, token), nats_server.find_binary()
        )
        process = subprocess.Popen(program.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield _address(folder)
        finally:
            process.terminate()
            process.wait()


def _address(folder: Path) -> str:
    give_up = time.monotonic() + READY_S
    while time.monotonic() < give_up:
        url = nats_server.address_in(folder)
        if url is not None:
            return url
        time.sleep(0.05)
    raise SystemExit(f"nats-server did not say within {READY_S:g} s where it listens")
