"""The plan of this door's matrix and of its random run: pure, and the same each time."""

from __future__ import annotations

import itertools
from collections import Counter

from benchmarks.chaos.cluster import cells, storm
from benchmarks.chaos.cluster.moments import asked
from benchmarks.chaos.words import Door, Moment


def test_no_cell_is_there_twice_and_all_come_through_this_door() -> None:
    found = list(cells.cells())
    assert len(set(found)) == len(found)
    assert {cell.door for cell in found} == {Door.RELAY_JOB}


def test_a_leader_is_killed_at_every_moment() -> None:
    for fault in (cells.KILLED, cells.SPOKEN, cells.FROZEN, cells.STOPPED):
        assert {cell.moment for cell in cells.cells() if (cell.fault, cell.target) == (fault, cells.LEADER)} == set(
            Moment
        )


def test_everything_there_is_gets_killed() -> None:
    killed = {cell.target for cell in cells.cells() if cell.fault == cells.KILLED}
    wanted = {cells.LEADER, cells.STANDBY, cells.SCHEDULER, cells.EDGE, cells.DEVICE, cells.SERVER, cells.API}
    assert wanted | {cells.ETCD} <= killed


def test_every_target_is_struck_with_a_model_too() -> None:
    processes = {cell.target for cell in cells.cells()} - {cells.BOTH, cells.SPACE, cells.ALL}
    assert {cell.target for cell in cells.real()} == processes


def test_what_is_run_with_a_model_is_part_of_the_matrix() -> None:
    assert set(cells.real()) <= set(cells.cells())


def test_nodes_and_the_making_of_pods_are_struck_where_workers_are_pods() -> None:
    found = list(cells.pods())
    assert {cell.target for cell in found} == {cells.NODE, *cells.DEDICATED}
    assert {cell.fault for cell in found if cell.target == cells.NODE} == {cells.SILENT, cells.KILLED}
    assert not set(found) & set(cells.cells())


def test_only_what_is_named_is_run() -> None:
    chosen = list(cells.cells("LEADER killed, in the head"))
    assert [(cell.target, cell.moment) for cell in chosen] == [(cells.LEADER, Moment.IN_HEAD)]
    assert list(cells.cells("no such words")) == []


def test_a_seed_gives_the_same_storm_and_another_one_another() -> None:
    def plan(seed: int) -> tuple[list[storm.PlannedJob], list[str]]:
        faults = [cells.said(cell) for cell in itertools.islice(storm.faults(seed), 40)]
        return list(itertools.islice(storm.jobs(seed), 60)), faults

    assert plan(1) == plan(1)
    assert plan(1)[0] != plan(2)[0]
    assert plan(1)[1] != plan(2)[1]


def test_a_storm_deletes_and_puts_aside_some_jobs_and_strikes_everybody() -> None:
    then = Counter(job.then for job in itertools.islice(storm.jobs(5), 400))
    assert then["nothing"] > 300
    assert then["delete"] > 10
    assert then["suspend"] > 10
    targets = {cell.target for cell in itertools.islice(storm.faults(5), 300)}
    assert {cells.LEADER, cells.STANDBY, cells.SCHEDULER, cells.EDGE, cells.DEVICE, cells.SERVER, cells.API} <= targets


def test_a_job_is_known_on_the_bus_before_it_is_made() -> None:
    assert asked("one").job_id == asked("one", seed=9).job_id
    assert asked("one").job_id != asked("two").job_id
