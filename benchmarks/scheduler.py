"""`rise bench scheduler`: the default policy against the paper's, the plain formula and ten others.

Two worlds (one made up, one resampled from measured runs of the embedded family) in which every job's best choice is
known, and a closed loop in which a policy's choices make the queues. Every policy's settings are tuned on seeds of
their own, all get the same jobs, intervals are bootstrapped over seeds. Nothing runs but the policies: minutes on two
cores.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import _rows
from benchmarks._rows import Row
from benchmarks.scheduling import contest, loops, report, settings, tasks, tune
from benchmarks.scheduling.closedloop import Load
from benchmarks.scheduling.entrants import ABLATIONS, ENTRANTS, FORMULA, IN_THE_LOOP, OURS, PAPER, Settings
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.worlds import KINDS

LOOP = "loop"
PARTS = ("replay", "ablations", "sensitivity", "loop", "offpolicy", "speed")

SENSITIVITY = {
    "wrong_profile": {"edge_profile": 2.2, "device_profile": 0.6},
    "tenth_scored": {"scored": 0.1},
    "noisy_scores": {"scorer_sd": 0.2},
    "late_scores": {"delay_jobs": 250.0},
}


@dataclass(frozen=True)
class Plan:
    """How much of everything: seeds of each part, jobs of a replay, the loads of the loop with their seeds."""

    seeds: int = 20
    tuning: int = 3
    few: int = 8
    jobs: int = 3200
    loads: tuple[tuple[Load, int], ...] = (
        *((Load(rate, cv), 4) for rate in (0.4, 0.9, 1.6) for cv in (1.0, 2.0, 5.0) if (rate, cv) != (1.6, 1.0)),
        (Load(1.6, 1.0), 8),
    )
    loop_tuning: int = 1
    decisions: int = 5000


QUICK = Plan(seeds=2, tuning=1, few=1, jobs=1000, loads=((Load(1.6, 1.0, 600), 1),), decisions=1000)


def main(argv: Sequence[str]) -> int:
    """Play, print the table, write the rows."""
    parser = argparse.ArgumentParser(prog="rise bench scheduler", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("out/bench-scheduler.json"), help="where the rows go")
    parser.add_argument("--seeds", type=int, default=None, help="of the replays (default 20)")
    parser.add_argument("--tuning-seeds", type=int, default=None, help="of every policy's settings (default 3)")
    parser.add_argument("--settings", type=Path, default=None, help="take these settings where they are known")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    parser.add_argument("--quick", action="store_true", help="few seeds and jobs, settings as last tuned: two minutes")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="of the benchmark (default: all)")
    parser.add_argument("--worlds", nargs="+", choices=KINDS, default=KINDS, help="of the replays (default: both)")
    options = parser.parse_args(argv)
    plan = QUICK if options.quick else Plan()
    if options.seeds is not None:
        plan = replace(plan, seeds=options.seeds, few=min(plan.few, options.seeds))
    if options.tuning_seeds is not None:
        plan = replace(plan, tuning=options.tuning_seeds, loop_tuning=min(options.tuning_seeds, plan.loop_tuning))
    # Matrices are small: a thread more in each process is only in the way of the other processes.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(options.workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        known = options.settings or (settings.FILE if options.quick else None)
        written = options.json.with_name(f"{options.json.stem}-settings.json")
        bench = Bench(plan, pool, settings.load(known) if known else {}, written)
        rows = [row for part in options.parts for row in bench.part(part, options.worlds)]
    _rows.report(rows, options.json)
    return 0


@dataclass
class Bench:
    """The parts of one run. ``tuned`` holds the settings of every policy, by world and for the loop, once known; they
    are ``written`` as soon as they are, for tuning is the longest part."""

    plan: Plan
    pool: Executor
    tuned: dict[str, dict[str, Settings]]
    written: Path

    def part(self, name: str, worlds: Sequence[str]) -> list[Row]:
        """The rows of one part."""
        start = time.monotonic()
        rows = list(getattr(self, f"_{name}")(worlds))
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        return rows

    def _settings(self, kind: str) -> Mapping[str, Settings]:
        if kind not in self.tuned:
            start = time.monotonic()
            if kind == LOOP:
                self.tuned[kind] = loops.tune(IN_THE_LOOP, self.plan.loop_tuning, self.pool)
            else:
                options = Options(jobs=self.plan.jobs)
                self.tuned[kind] = tune.tune(kind, tuple(ENTRANTS), self.plan.tuning, options, self.pool)
            settings.save(self.tuned, self.written)
            print(f"tuned for {kind}: {time.monotonic() - start:.0f} s", flush=True)
        return self.tuned[kind]

    def _scores(self, kind: str, names: Sequence[str], seeds: int, **conditions: float) -> report.Scores:
        options = Options(jobs=self.plan.jobs, **conditions)  # type: ignore[arg-type]
        return contest.contest(kind, names, self._settings(kind), seeds, options, self.pool)

    def _replay(self, worlds: Sequence[str]) -> Iterator[Row]:
        for kind in worlds:
            yield from report.replay_rows(kind, self._scores(kind, tuple(ENTRANTS), self.plan.seeds))

    def _ablations(self, worlds: Sequence[str]) -> Iterator[Row]:
        for kind in worlds:
            scores = self._scores(kind, (OURS, *ABLATIONS), self.plan.few)
            yield from report.named_rows(f"ablation_{kind}", scores)

    def _sensitivity(self, worlds: Sequence[str]) -> Iterator[Row]:
        for name, conditions in SENSITIVITY.items():
            scores = self._scores("synthetic", (OURS, FORMULA, PAPER), self.plan.few, **conditions)
            yield from report.named_rows(f"sensitivity_{name}", scores)

    def _loop(self, worlds: Sequence[str]) -> Iterator[Row]:
        tuned = self._settings(LOOP)
        yield from report.loop_rows(loops.run(IN_THE_LOOP, dict(self.plan.loads), tuned, self.pool))

    def _offpolicy(self, worlds: Sequence[str]) -> Iterator[Row]:
        tuned, options = self._settings("synthetic"), Options(jobs=self.plan.jobs)
        asked = [tasks.Estimating(seed, options, tuned[OURS], tuned[FORMULA]) for seed in range(self.plan.few)]
        yield from report.offpolicy_rows(list(self.pool.map(tasks.estimating, asked)))

    def _speed(self, worlds: Sequence[str]) -> Iterator[Row]:
        tuned = self._settings("synthetic")
        timed = tasks.Timing(tuned[OURS], tuned[PAPER], self.plan.decisions)
        yield from report.speed_rows(*self.pool.submit(tasks.timing, timed).result())
