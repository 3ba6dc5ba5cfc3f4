"""The pure parts of the operator's benchmark: what counts as lost, the quantiles, the goals."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest

from benchmarks import _idle_stage, operator
from benchmarks._traffic import Ledger, manifest
from rise_contracts.resources import RelayJob

STEPS = (5, 6)
OTHER = "f" * 64
DIGEST = _idle_stage.digest_of(0, STEPS)

MEASURED = operator.Measured(
    jobs=100,
    seconds=4.0,
    raw_seconds=2.0,
    raw_cpu=2.0,
    writes=500.0,
    cpu={"operator": 5.0, "nats": 1.0},
    peak=300 * 2**20,
    reconcile_p99=0.02,
    scheduled_ms=[1.0, 2.0],
    complete_ms=[3.0, 4.0],
    lost=0,
)


def event(phase: str, *true: str, digest: str = "", name: str = "a") -> dict[str, Any]:
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": [{"type": kind, "status": "True"} for kind in true],
        "stages": [{"steps": steps} for steps in STEPS],
    }
    if digest:
        status["result"] = {"digest": digest}
    return {"metadata": {"name": name}, "status": status}


SCHEDULED = event("Scheduled", "Scheduled")
COMPLETE = event("Complete", "Scheduled", "Complete", digest=DIGEST)


def test_the_picture_follows_from_the_seed_and_the_steps() -> None:
    whole = _idle_stage.denoised(_idle_stage.denoised(_idle_stage.latent(7), 5), 6)
    assert len(whole) == _idle_stage.NBYTES
    digests = {_idle_stage.digest_of(seed, steps) for seed in (7, 8) for steps in ((5, 6), (6, 5), (5,))}
    assert len(digests) == 6


def test_a_job_that_went_well_is_not_lost_and_its_waits_are_known() -> None:
    ledger = Ledger(["a"])
    ledger.jobs["a"].applied = 1.0
    ledger.seen({"metadata": {"name": "a"}}, 1.1)
    ledger.seen(SCHEDULED, 1.5)
    ledger.seen(COMPLETE, 3.0)
    ledger.seen(COMPLETE, 4.0)
    assert ledger.lost == []
    assert ledger.waits("scheduled") == [pytest.approx(500.0)]
    assert ledger.waits("complete") == [pytest.approx(2000.0)]


@pytest.mark.parametrize(
    "story",
    [
        [],
        [SCHEDULED],
        [event("Complete", "Complete")],
        [event("Complete", "Complete", digest=OTHER)],
        [COMPLETE, event("Complete", "Complete", digest=OTHER)],
        [COMPLETE, SCHEDULED],
        [COMPLETE, SCHEDULED, COMPLETE],
        [event("Failed", "Failed")],
        [event("Failed", "Failed"), COMPLETE],
    ],
    ids=[
        "never heard of",
        "not ended",
        "no result",
        "another picture",
        "two results",
        "taken back",
        "complete twice",
        "failed",
        "failed and complete",
    ],
)
def test_whatever_is_not_complete_once_with_its_own_picture_is_lost(story: list[dict[str, Any]]) -> None:
    ledger = Ledger(["a"])
    for body in story:
        ledger.seen(body, 1.0)
    assert ledger.lost == ["a"]


async def test_it_is_done_when_the_last_job_has_ended() -> None:
    ledger = Ledger(["a", "b"])
    ledger.seen(COMPLETE, 1.0)
    ledger.seen(event("Failed", "Failed", name="somebody else's"), 1.0)
    assert not ledger.done.is_set()
    ledger.seen(event("Failed", "Failed", name="b"), 2.0)
    async with asyncio.timeout(1.0):
        await ledger.done.wait()


def test_its_jobs_are_what_the_definitions_take() -> None:
    job = RelayJob.model_validate(manifest("job-00001", 1, "rise-shapes"))
    assert (job.metadata.name, job.spec.seed, job.spec.relay.mode) == ("job-00001", 1, "Auto")


def test_the_raw_rate_is_of_the_statuses_that_the_operator_writes() -> None:
    last = {**COMPLETE["status"], "completionTime": "2026-01-01T00:00:00Z", "seconds": 1.0, "attempt": 1}
    early, late = operator.as_written(last)
    assert late == last
    assert early == {**SCHEDULED["status"], "attempt": 1}


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert [operator.percentile(values, percent) for percent in (50, 99, 100)] == [50.0, 99.0, 100.0]
    assert operator.percentile([7.0], 1) == 7.0
    assert math.isnan(operator.percentile([], 50))


def test_a_quantile_lies_within_its_bucket() -> None:
    histogram = [(0.1, 50.0), (0.2, 90.0), (1.0, 100.0), (math.inf, 100.0)]
    assert operator.quantile(histogram, 0.5) == pytest.approx(0.1)
    assert operator.quantile(histogram, 0.7) == pytest.approx(0.15)
    assert operator.quantile([(0.1, 1.0), (math.inf, 2.0)], 0.99) == 0.1


def test_buckets_are_those_of_one_kind_in_order() -> None:
    metrics = {
        ("x_bucket", (("kind", "job"), ("le", "+Inf"))): 3.0,
        ("x_bucket", (("kind", "job"), ("le", "0.5"))): 2.0,
        ("x_bucket", (("kind", "pool"), ("le", "0.5"))): 9.0,
        ("x_count", (("kind", "job"),)): 3.0,
    }
    assert operator.buckets(metrics, "x", "job") == [(0.5, 2.0), (math.inf, 3.0)]


def test_goals_are_met_at_their_edge() -> None:
    rows = {row.name: row for row in operator.rows_of(MEASURED)}
    assert (rows["jobs_per_second"].ours, rows["jobs_per_second"].theirs) == (25.0, 50.0)
    goals = ("jobs_per_second", "lost", "api_writes_per_job", "rss_mb", "operator_cpu_ms")
    assert [rows[name].met for name in goals] == [True] * 5
    assert rows["nats_cpu_ms"].ours == 10.0
    assert (rows["cpu_ms"].ours, rows["cpu_ms"].theirs, rows["cpu_ms"].ratio) == (60.0, 20.0, 3.0)
    assert (rows["complete_ms_p50"].ours, rows["complete_ms_p99"].ours) == (3.0, 4.0)


@pytest.mark.parametrize(
    ("worse", "name"),
    [
        ({"seconds": 4.1}, "jobs_per_second"),
        ({"lost": 1}, "lost"),
        ({"writes": 501.0}, "api_writes_per_job"),
        ({"peak": 301 * 2**20}, "rss_mb"),
        ({"cpu": {"operator": 5.1}}, "operator_cpu_ms"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_goals_are_missed_just_beyond_it(worse: dict[str, Any], name: str) -> None:
    rows = {row.name: row for row in operator.rows_of(replace(MEASURED, **worse))}
    assert rows[name].met is False


def test_by_default_it_makes_a_thousand_jobs() -> None:
    options = operator.arguments([])
    assert (options.jobs, options.slots, str(options.json)) == (1000, 8, "out/bench-operator.json")
