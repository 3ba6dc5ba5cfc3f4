"""A random run is a function of its seed."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.chaos import cells, plan, storm
from benchmarks.chaos.invariants import Verdict
from benchmarks.chaos.plan import PlannedFault, PlannedJob
from benchmarks.chaos.storm import NO_FAULT, Submitted
from benchmarks.chaos.words import Cell, Door, Moment

COUNT = 500


def jobs(seed: int, count: int = COUNT) -> list[PlannedJob]:
    return list(itertools.islice(plan.jobs(seed), count))


def faults(seed: int, count: int = COUNT) -> list[PlannedFault]:
    return list(itertools.islice(plan.faults(seed), count))


@given(st.integers(min_value=0, max_value=2**31))
def test_the_same_seed_plans_the_same(seed: int) -> None:
    assert jobs(seed, 40) == jobs(seed, 40)
    assert faults(seed, 40) == faults(seed, 40)


def test_another_seed_plans_otherwise() -> None:
    assert jobs(1) != jobs(2)
    assert [fault.cell for fault in faults(1)] != [fault.cell for fault in faults(2)]


def test_the_load_is_mixed() -> None:
    planned = jobs(3)
    assert {job.seed for job in planned} == set(plan.SEEDS)
    assert {job.cut for job in planned} == {*plan.CUTS, None}
    assert {job.images for job in planned} == {1, 2}
    assert {job.then for job in planned} == {"nothing", "cancel", "again"}
    assert {job.expires for job in planned} == {True, False}
    assert Counter(job.then for job in planned)["nothing"] > COUNT * 0.8
    assert [job.number for job in planned] == list(range(COUNT))


def test_every_planned_fault_is_a_cell_of_the_matrix() -> None:
    planned = [fault.cell for fault in faults(4)]
    assert set(planned) <= set(cells.cells())
    assert {cell.fault for cell in planned} == set(plan.FAULTS)
    assert Moment.IN_DELETION not in {cell.moment for cell in planned}


def test_the_spec_says_what_was_planned() -> None:
    job = next(job for job in jobs(5) if job.cut is not None and job.expires)
    spec = storm.spec_of(job, "key")
    assert tuple(stage.steps for stage in spec.relay.stages) == job.cut
    assert (spec.seed, spec.images, spec.idempotency_key) == (job.seed, job.images, "key")
    assert spec.ttl_seconds_after_finished == storm.TTL_S
    free = next(job for job in jobs(5) if job.cut is None and not job.expires)
    assert storm.spec_of(free, "key").relay.mode == "Auto"
    assert storm.spec_of(free, "key").ttl_seconds_after_finished is None


def submitted(job_id: str, during: int) -> Submitted:
    return Submitted(jobs(6, 1)[0], job_id, during)


def test_what_goes_wrong_is_laid_to_the_fault_in_whose_time_the_job_came() -> None:
    cell = Cell(cells.KILLED, "driver", Moment.IN_HEAD, Door.COMMAND_LINE)
    came = [submitted("job-1", 0), submitted("job-2", 1), submitted("job-3", 1)]
    verdict = Verdict(lost=("job-2: gone",), duplicated=("job-1: twice",), left=("RISE_BLOBS: x",))
    before, after = storm.results([cell], came, verdict)
    assert (before.cell, before.jobs, before.lost, before.duplicated) == (NO_FAULT, 1, 0, 1)
    assert (after.cell, after.jobs, after.lost, after.duplicated) == (cell, 2, 1, 0)
    assert after.left == ("job-2: gone", "RISE_BLOBS: x")
    assert before.left == ("job-1: twice",)


def test_a_calm_run_is_right() -> None:
    (only,) = storm.results([], [submitted("job-1", 0)], Verdict())
    assert only.right
    assert only.jobs == 1


@pytest.mark.parametrize("only", ["edge worker killed, in the head", "SLOW"])
def test_cells_are_chosen_by_their_words(only: str) -> None:
    chosen = list(cells.cells(only))
    assert chosen
    assert all(only.lower() in cells.said(cell) for cell in chosen)


def test_workers_are_struck_at_their_work_with_a_model_too() -> None:
    modelled = [cell for cell in cells.cells() if cells.is_at_work(cell)]
    assert {cell.target for cell in modelled} == {"edge worker", "device worker"}
    assert {cell.fault for cell in modelled} == {cells.KILLED, cells.FROZEN, cells.STOPPED}
    assert len(modelled) == 12


def test_the_matrix_has_every_moment_and_no_cell_twice() -> None:
    everything = list(cells.cells())
    assert len(everything) == len(set(everything))
    assert {cell.moment for cell in everything} == set(Moment)
    for target in ("driver", "scheduler", "edge worker", "device worker", "nats-server"):
        killed = {cell.moment for cell in everything if (cell.fault, cell.target) == (cells.KILLED, target)}
        assert killed == set(Moment), target
