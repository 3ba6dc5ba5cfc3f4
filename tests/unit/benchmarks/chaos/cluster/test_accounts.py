"""Who is struck, what a recovery is, and to which fault of a random run a complaint belongs: pure."""

from __future__ import annotations

from typing import Any, cast

import pytest

from benchmarks.chaos.cluster import cells, judging, matrix, storm
from benchmarks.chaos.cluster.faults import Hit
from benchmarks.chaos.cluster.makeup import Makeup
from benchmarks.chaos.cluster.matrix import Stage
from benchmarks.chaos.cluster.moments import Met, asked
from benchmarks.chaos.invariants import Verdict
from benchmarks.chaos.words import Cell, Door, Moment, Result

NOWHERE = cast("Any", None)
"""What is not looked at."""


class Made:
    """Of a world, what it is made of."""

    def __init__(self, makeup: Makeup) -> None:
        self.makeup = makeup


def hit(target: str, whose: str = "operator-a", leader: str = "operator-a") -> Hit:
    cell = Cell(cells.KILLED, target, Moment.IN_HEAD, Door.RELAY_JOB)
    return Hit(cast("Any", Made(Makeup())), cell, asked("job"), Met(whose, NOWHERE), leader, lambda: True)


@pytest.mark.parametrize(
    ("target", "whose", "victims"),
    [
        (cells.LEADER, "edge-1", ["operator-b"]),
        (cells.POD_MAKER, "operator-b", ["operator-b"]),
        (cells.STANDBY, "edge-1", ["operator-a"]),
        (cells.BOTH, "edge-1", ["operator-a", "operator-b"]),
        (cells.SCHEDULER, "operator-b", ["scheduler"]),
        (cells.EDGE, "edge-2", ["edge-2"]),
        (cells.EDGE, "operator-b", ["edge-1"]),
        (cells.DEVICE, "device-2", ["device-2"]),
    ],
)
def test_the_one_is_struck_whose_message_it_is_or_else_the_first_of_its_kind(
    target: str, whose: str, victims: list[str]
) -> None:
    assert list(hit(target, whose, leader="operator-b").victims) == victims


def test_workers_are_named_by_their_tier_and_are_all_pods_where_they_are_pods() -> None:
    assert Makeup().workers(cells.EDGE) == ["edge-1", "edge-2"]
    assert Makeup().workers(cells.DEVICE) == ["device-1", "device-2"]
    assert Makeup("pods").workers(cells.DEVICE) == ["pods"]
    assert Makeup().workers(cells.SCHEDULER) == []


def test_two_verdicts_are_one_that_says_everything_once() -> None:
    one, other = Verdict(lost=("a",), left=("x",)), Verdict(lost=("a", "b"), hung=("c",))
    assert judging.both(one, other) == Verdict(lost=("a", "b"), hung=("c",), left=("x",))


def planned(name: str) -> storm.PlannedJob:
    return storm.PlannedJob(asked(name), 3, "nothing", 0.0)


def stormed() -> storm.Storm:
    """Two jobs, a fault, another job, a second fault."""
    made = storm.Storm(cast("Stage", NOWHERE), lambda line: None)
    made.take(planned("one"))
    made.take(planned("two"))
    for fault, name in ((cells.KILLED, "three"), (cells.FROZEN, "four")):
        made.struck.append(Cell(fault, cells.LEADER, Moment.IN_HEAD, Door.RELAY_JOB))
        made.waits.append(2.0 if fault == cells.KILLED else None)
        made.take(planned(name))
    return made


def test_each_fault_of_a_storm_has_the_jobs_of_its_time() -> None:
    found = storm.results(stormed(), Verdict())
    assert [(each.cell.fault, each.jobs, each.recovery_s) for each in found] == [
        ("none", 2, None),
        (cells.KILLED, 1, 2.0),
        (cells.FROZEN, 1, None),
    ]
    assert all(each.right for each in found)


def test_a_complaint_belongs_to_the_fault_in_whose_time_its_job_came() -> None:
    on_bus = asked("three").job_id
    told = Verdict(lost=("one: accepted, and never seen",), hung=(f"{on_bus}: still Running",), left=("RISE_DEAD: x",))
    before, first, last = storm.results(stormed(), told)
    assert (before.lost, before.left) == (1, ("one: accepted, and never seen",))
    assert (first.hung, first.left) == (1, (f"{on_bus}: still Running",))
    assert last.left == ("RISE_DEAD: x",), "what names no job is the last one's"


def test_a_job_that_both_complain_of_is_one() -> None:
    both = ("three: still Scheduled", f"{asked('three').job_id}: still Scheduled, attempt 1")
    _, first, _ = storm.results(stormed(), Verdict(hung=both))
    assert (first.hung, first.left) == (1, both)


def test_a_result_is_a_line_and_what_is_wrong_is_below_it() -> None:
    cell = Cell(cells.KILLED, cells.LEADER, Moment.IN_HEAD, Door.RELAY_JOB)
    assert matrix.line(Result(cell, 2, recovery_s=1.234)) == "operator leader killed, in the head: right, 1.23 s"
    assert matrix.line(Result(cell, 0, lacks="root")) == "operator leader killed, in the head: lacks root"
    wrong = matrix.line(Result(cell, 2, lost=1, left=("job: gone",)))
    assert wrong == "operator leader killed, in the head: WRONG\n    job: gone"


def test_what_an_installation_is_started_with() -> None:
    makeup = Makeup(lease_s=3.0, per_tier=1)
    assert makeup.names == {"edge-1": "edge", "device-1": "device"}
    assert makeup.module("edge-1")[0] == "benchmarks.chaos.light"
    assert Makeup("real").module("device-2")[:3] == ("rise_stage", "--tier", "device")
    operator = makeup.operator("operator-a", cast("Any", "file"), "nats://here")
    assert "--lease-seconds=3" in operator
    assert "--stage-nats-url=nats://here" in operator
