"""`rise bench scheduler_http`: what a decision takes over HTTP at 200 a second, and what it takes on the bus.

The scheduler and nats-server are processes of their own; 20 workers beat once a second, and 30 arms are weighed by a
policy that has learned from some outcomes. Each request is another job, and its decision is in the log on disk before
it is answered. Requests come evenly spaced, and then as a Poisson process, which is what many clients that know nothing
of each other make.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks import _asked, _http_load, _rows
from benchmarks._asked import Asked
from benchmarks._http_load import Answered
from benchmarks._rows import Row, row
from benchmarks.operator import percentile
from rise_contracts import codec, subjects
from rise_contracts.decisions import DecisionRecord
from rise_contracts.messages import Decision, Outcome
from rise_runtime import services

RATE = 200.0
GOAL_MS = 5.0
WARM = 200
"""Jobs whose outcomes are learned from before anything is measured."""


@dataclass(frozen=True)
class Measured:
    """Seconds of each decision, by way; `bad` is how many requests got none; `cpu` is the share of a core that each
    process used under even load; `load` is the machine's load average meanwhile."""

    even: Sequence[float]
    poisson: Sequence[float]
    bus: Sequence[float]
    bad: int
    arms: int
    cpu: dict[str, float]
    load: float


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    parser = argparse.ArgumentParser(prog="rise bench scheduler_http", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-scheduler-http.json"), help="where the rows go")
    parser.add_argument("--seconds", type=float, default=30.0, help="of load, each way (default 30)")
    parser.add_argument("--policy", default="composed", help="the scheduler's policy (default composed)")
    options = parser.parse_args(argv)
    with TemporaryDirectory() as folder:
        measured = asyncio.run(measure(Path(folder), options.policy, int(RATE * options.seconds)))
    _rows.report(rows_of(measured), options.json)
    return 0


async def measure(folder: Path, policy: str, count: int) -> Measured:
    """`count` decisions each way."""
    async with _asked.running(folder, policy) as asked:
        arms = await _warm_up(asked)
        before = _cpu(asked)
        even = await _over_http(asked, WARM, count, None)
        used = {name: seconds - before[name] for name, seconds in _cpu(asked).items()}
        poisson = await _over_http(asked, WARM + count, count, 7)
        on_bus = await _over_the_bus(asked, WARM + 2 * count, count)
    cpu = {name: seconds / (count / RATE) for name, seconds in used.items()}
    bad = len(even.bad) + len(poisson.bad)
    return Measured(even.seconds, poisson.seconds, on_bus, bad, arms, cpu, os.getloadavg()[0])


def rows_of(it: Measured) -> list[Row]:
    """The rows, and whether the goals are met."""
    found = []
    for name, seconds, goal in (("http", it.even, GOAL_MS), ("http_poisson", it.poisson, None), ("bus", it.bus, None)):
        ms = [1e3 * each for each in seconds]
        half, most, n = percentile(ms, 50), percentile(ms, 99), len(ms)
        found.append(row(f"{name}_ms_p50", half, None, "ms", n, "–"))
        met = None if goal is None else most <= goal
        found.append(row(f"{name}_ms_p99", most, None, "ms", n, "–" if goal is None else f"<= {goal:g}", met=met))
    total = len(it.even) + len(it.poisson)
    found.append(row("bad_answers", it.bad, None, "requests", total, "0", met=it.bad == 0))
    found += [row(f"{name}_cpu", used, None, "cores, even", len(it.even), "–") for name, used in it.cpu.items()]
    found.append(row("candidates", it.arms, None, "arms", 1, "about 30"))
    found.append(row("load_average", it.load, None, "1 min", 1, "–"))
    return found


async def _warm_up(asked: Asked) -> int:
    """Decide and learn, until there is something to decide by; how many candidates a decision has."""
    connection, decision = await _http_load.connect(asked.address), None
    for number in range(WARM):
        decision = await _decided(connection, number)
        outcome = Outcome(
            decision_id=decision.id,
            job_id=decision.job_id,
            arm=decision.arm,
            latency_s=decision.predictions.latency_s or 1.0,
            edge_s=decision.predictions.edge_s or 0.0,
            quality=(number % 10) / 10,
        )
        status, body = await connection.send(_http_load.post("/v1/outcomes", codec.encode(outcome)))
        if status != 200:
            raise RuntimeError(f"an outcome was answered with {status}: {body.decode()}")
    assert decision is not None
    _, body = await connection.send(_http_load.get(f"/v1/decisions/{decision.id}"))
    connection.close()
    return len(codec.decode(DecisionRecord, body).candidates)


async def _decided(connection: _http_load.Connection, number: int) -> Decision:
    """The answer; while the scheduler has not heard of the workers it is asked again."""
    while True:
        status, body = await connection.send(_request(number))
        if status == 200:
            return codec.decode(Decision, body)
        if status != 503:
            raise RuntimeError(f"a question was answered with {status}: {body.decode()}")
        await asyncio.sleep(0.1)


async def _over_http(asked: Asked, first: int, count: int, seed: int | None) -> Answered:
    requests = [_request(first + number) for number in range(count)]
    return await _http_load.load(asked.address, requests, list(_http_load.due(RATE, count, seed)))


async def _over_the_bus(asked: Asked, first: int, count: int) -> list[float]:
    """The same questions, evenly spaced, as the job driver asks them."""
    found: list[float] = []

    async def one(number: int, at: float) -> None:
        await services.ask(asked.bus, subjects.CONFIGURE, questions[number], Decision, timeout=10.0)
        found.append(time.perf_counter() - at)

    questions = [_asked.question(first + number) for number in range(count)]
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, after in enumerate(_http_load.due(RATE, count, None)):
            await asyncio.sleep(max(began + after - time.perf_counter(), 0.0))
            group.create_task(one(number, began + after))
    return found


def _request(number: int) -> bytes:
    return _http_load.post("/v1/configurations", codec.encode(_asked.question(number)))


def _cpu(asked: Asked) -> dict[str, float]:
    """CPU seconds that each process has used."""
    found = {}
    for name, child in asked.parts.items():
        times = psutil.Process(child.pid).cpu_times()
        found[name] = times.user + times.system
    return found
