"""`rise bench operator`: many RelayJobs at once on a real control plane, from `kubectl apply` to Complete.

API server, etcd, NATS, scheduler, operator and one stage worker per tier are processes of their own; only the
denoising is left out. First, with the operator off, the client makes as many jobs and writes their status twice, with
the statuses of a job that went through before: more than this rate the API server and this client together do not
give. Then the same jobs again, with the operator on, each followed by a watch until it is Complete.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import rise_shapes
from benchmarks import _rows
from benchmarks._cluster import OPERATOR, Installed, installed
from benchmarks._resident import peak_bytes
from benchmarks._rows import Row, row
from benchmarks._traffic import Ledger, Object, apply, followed, write_raw
from rise_contracts import manifest
from rise_operator.api import CONNECTIONS, RELAY_JOBS, Api, connected
from rise_runtime.together import together

JOBS, RAW, FIRST = "bench", "raw", "first"
PATIENCE_S = 120.0
"""To the end of the last job: this, and half a second for each."""
Metrics = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]


@dataclass(frozen=True)
class Measured:
    """One run. Seconds; `cpu` is what each process used in it, `raw_cpu` all of them in the raw one; `peak` is the
    operator's memory at its height."""

    jobs: int
    seconds: float
    raw_seconds: float
    raw_cpu: float
    writes: float
    cpu: Mapping[str, float]
    peak: int
    reconcile_p99: float
    scheduled_ms: Sequence[float]
    complete_ms: Sequence[float]
    lost: int


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, write the rows."""
    options = arguments(argv)
    family = rise_shapes.family()
    with TemporaryDirectory() as folder:
        logs = options.logs or Path(folder)
        logs.mkdir(parents=True, exist_ok=True)
        with installed(logs, family.metadata.name, options.slots) as platform:
            platform.plane.kubectl().apply(manifest.dump(family))
            measured = measure(platform, family.metadata.name, options.jobs)
    _rows.report(rows_of(measured), options.json)
    return 0


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="rise bench operator", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-operator.json"), help="where the rows go")
    parser.add_argument("--jobs", type=int, default=1000, help="RelayJobs at once (default 1000)")
    parser.add_argument("--slots", type=int, default=8, help="stages that each of the two workers is at (default 8)")
    parser.add_argument("--logs", type=Path, help="a folder to keep the logs of all processes in")
    return parser.parse_args(argv)


def measure(platform: Installed, family: str, count: int) -> Measured:
    """One job for its statuses, the raw rate, then all of them."""
    kubeconfig = platform.plane.kubeconfig
    for namespace in (FIRST, RAW, JOBS):
        platform.plane.kubectl().run("create", "namespace", namespace)
    platform.start_operator()
    statuses = as_written(_one_job(platform, family, "first"))
    platform.operator.terminate(10.0)
    before = platform.cpu_seconds()
    raw_seconds = asyncio.run(_raw(kubeconfig, family, count, statuses))
    raw_cpu = sum(_used_since(before, platform).values())
    asyncio.run(_clear(kubeconfig, count))
    platform.start_operator()
    _one_job(platform, family, "second")
    before, writes = platform.cpu_seconds(), _writes(platform.metrics())
    ledger, seconds = asyncio.run(_load(platform, family, count))
    cpu = _used_since(before, platform)
    time.sleep(2.0)  # the last events are still being written
    metrics = platform.metrics()
    return Measured(
        jobs=count,
        seconds=seconds,
        raw_seconds=raw_seconds,
        raw_cpu=raw_cpu,
        writes=_writes(metrics) - writes + count,
        cpu=cpu,
        peak=peak_bytes(platform.operator.pid),
        reconcile_p99=quantile(buckets(metrics, "rise_operator_reconcile_seconds", "job"), 0.99),
        scheduled_ms=ledger.waits("scheduled"),
        complete_ms=ledger.waits("complete"),
        lost=len(ledger.lost),
    )


def rows_of(it: Measured) -> list[Row]:
    """The rows, and whether the goals are met."""
    n = it.jobs
    ours, raw = n / it.seconds, n / it.raw_seconds
    writes, cpu, peak = it.writes / n, 1e3 * it.cpu[OPERATOR] / n, it.peak / 2**20
    others = {name: 1e3 * used / n for name, used in it.cpu.items() if name != OPERATOR}
    return [
        row("jobs_per_second", ours, raw, "1/s", n, "ratio >= 0.5", met=ours / raw >= 0.5),
        row("cpu_ms", 1e3 * sum(it.cpu.values()) / n, 1e3 * it.raw_cpu / n, "ms per job, all processes", n, "–"),
        row("lost", it.lost, None, "jobs", n, "0", met=it.lost == 0),
        row("api_writes_per_job", writes, None, "requests", n, "<= 5", met=writes <= 5),
        row("rss_mb", peak, None, "MiB, peak", n, "<= 300", met=peak <= 300),
        row("operator_cpu_ms", cpu, None, "ms per job", n, "<= 50", met=cpu <= 50),
        row("reconcile_ms_p99", 1e3 * it.reconcile_p99, None, "ms", n, "–"),
        *(row(f"schedule_ms_p{p}", percentile(it.scheduled_ms, p), None, "ms", n, "–") for p in (50, 99)),
        *(row(f"complete_ms_p{p}", percentile(it.complete_ms, p), None, "ms", n, "–") for p in (50, 99)),
        *(row(f"{name}_cpu_ms", used, None, "ms per job", n, "–") for name, used in sorted(others.items())),
    ]


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent are not above; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan


def buckets(metrics: Metrics, name: str, kind: str) -> list[tuple[float, float]]:
    """The histogram's (upper bound, how many up to it)."""
    found = [(dict(labels), value) for (metric, labels), value in metrics.items() if metric == f"{name}_bucket"]
    return sorted((float(labels["le"]), value) for labels, value in found if labels["kind"] == kind)


def quantile(cumulative: Sequence[tuple[float, float]], share: float) -> float:
    """The value below which `share` of a histogram lies, taken as evenly spread within a bucket."""
    wanted = share * cumulative[-1][1]
    low, below = 0.0, 0.0
    for bound, count in cumulative:
        if count >= wanted:
            return low if math.isinf(bound) else low + (bound - low) * (wanted - below) / max(count - below, 1e-9)
        low, below = bound, count
    return low


def _one_job(platform: Installed, family: str, name: str) -> Object:
    """The status of a job that went through: the operator leads, and knows the scheduler and the workers."""

    async def one() -> Object:
        ledger = Ledger([name])
        kubeconfig = platform.plane.kubeconfig
        async with connected(str(kubeconfig)) as api, followed(kubeconfig, FIRST, ledger):
            await apply(api, FIRST, family, ledger, 1)
            await _until_done(platform, ledger, PATIENCE_S)
            there = await api.get(RELAY_JOBS, FIRST, name)
        assert there is not None
        status: Object = there["status"]
        return status

    return asyncio.run(one())


def as_written(last: Object) -> list[Object]:
    """The two statuses that the operator writes for a job that ends with `last`: when it has its configuration, and
    this."""
    later, result = {"Complete", "HeadDone", "TailDone"}, {"result", "completionTime", "seconds", "bytesHandedOver"}
    early = {name: value for name, value in last.items() if name not in result}
    conditions = [condition for condition in last["conditions"] if condition["type"] not in later]
    return [{**early, "phase": "Scheduled", "conditions": conditions}, last]


async def _raw(kubeconfig: Path, family: str, count: int, statuses: Sequence[Object]) -> float:
    """The seconds that it takes to make so many jobs and to write their statuses, with nobody else at work."""
    async with connected(str(kubeconfig)) as api:
        return await write_raw(api, RAW, family, _names(count), statuses, CONNECTIONS)


async def _clear(kubeconfig: Path, count: int) -> None:
    """Take away what was made for the raw rate."""
    names = _names(count)
    async with connected(str(kubeconfig)) as api:
        for start in range(0, count, CONNECTIONS):
            await asyncio.gather(*(api.delete(RELAY_JOBS, RAW, name) for name in names[start : start + CONNECTIONS]))


async def _load(platform: Installed, family: str, count: int) -> tuple[Ledger, float]:
    """All jobs from their making to the end of the last one, and the seconds that this took."""
    ledger, kubeconfig = Ledger(_names(count)), platform.plane.kubeconfig
    async with connected(str(kubeconfig)) as api, followed(kubeconfig, JOBS, ledger):
        began = time.perf_counter()
        await apply(api, JOBS, family, ledger, CONNECTIONS)
        try:
            await _until_done(platform, ledger, PATIENCE_S + count / 2)
        except TimeoutError:
            print(f"not all jobs have ended: {ledger.lost[:10]} …")
        seconds = time.perf_counter() - began
        await _compare(api, ledger)
    return ledger, seconds


async def _until_done(platform: Installed, ledger: Ledger, seconds: float) -> None:
    """Return when all jobs have ended. Raises TimeoutError, and DidNotStart as soon as a part of the platform ends:
    what is measured then is no longer what was asked for."""

    async def watch_parts() -> None:
        while True:
            platform.check()
            await asyncio.sleep(1.0)

    async with asyncio.timeout(seconds):
        await together(watch_parts(), ledger.done.wait())


async def _compare(api: Api, ledger: Ledger) -> None:
    """What the API server holds now counts as one event more."""
    now = time.perf_counter()
    async for body in api.list(RELAY_JOBS, JOBS):
        ledger.seen(body, now)


def _names(count: int) -> list[str]:
    return [f"job-{number:05}" for number in range(count)]


def _used_since(before: Mapping[str, float], platform: Installed) -> dict[str, float]:
    """Processor seconds of those that ran then and run now."""
    return {name: used - before[name] for name, used in platform.cpu_seconds().items() if name in before}


def _writes(metrics: Metrics) -> float:
    return metrics["rise_operator_api_writes", ()]
