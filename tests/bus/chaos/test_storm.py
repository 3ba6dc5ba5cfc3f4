"""A short storm, from a seed: each job once, in the right picture."""

from __future__ import annotations

import itertools
from pathlib import Path

from benchmarks.chaos import cells, plan, soak, storm
from benchmarks.chaos.ledger import followed
from benchmarks.chaos.world import SCHEDULER, SERVER, Makeup, world

SEED, JOBS = 11, 60


async def test_a_storm_loses_nothing(tmp_path: Path) -> None:
    told: list[str] = []
    async with world(Makeup("light", ack_wait_s=1.0), tmp_path / "world") as made, followed(made.bus) as ledger:
        planned = itertools.islice(plan.jobs(SEED), JOBS)
        results = await storm.run(made, ledger, SEED, planned, told.append, calm_s=0.5)
        sizes = await soak.sizes_of(made.bus)
    assert sum(result.jobs for result in results) == JOBS
    assert [line for result in results for line in result.left] == []
    assert all(result.right for result in results)
    struck = [result.cell for result in results if result.cell != storm.NO_FAULT]
    assert struck, told
    assert set(struck) <= set(cells.cells())
    assert {"KV_rise_jobs", "RISE_WORK_EDGE"} <= sizes.keys() and soak.GROWS.isdisjoint(sizes)


async def test_processes_and_streams_are_measured_while_they_run(tmp_path: Path) -> None:
    async with world(Makeup("light", edge=1, device=1), tmp_path / "world") as made:
        samples: list[soak.Sample] = []
        await soak.measure(made, 1.0, samples)
    named = {(sample.name, sample.what) for sample in samples}
    assert {(SERVER, "rss_mib"), (SCHEDULER, "fds"), ("edge-1", "rss_mib"), ("KV_rise_jobs", "bytes_mib")} <= named
    assert all(sample.at == 1.0 and sample.value >= 0 for sample in samples)
