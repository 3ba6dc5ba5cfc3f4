"""The most telling cells of the fault matrix of RelayJobs (benchmarks.chaos.cluster), with a shorter lease."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.chaos import memory
from benchmarks.chaos.cluster import cells, matrix
from benchmarks.chaos.cluster.makeup import Makeup
from benchmarks.chaos.cluster.matrix import Stage
from benchmarks.chaos.words import Cell, Door, Moment
from tests.kube import assets

LEASE_S = 3.0
FAILOVER_S, WORKER_S, SERVER_S, STALL_S = 15.0, 8.0, 5.0, 0.5
"""What recovery may take; a worker's with the time for which its task stays its own."""


@pytest.fixture(scope="module")
def on(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A control plane of its own, two operators, workers that hash."""
    if assets.lacking([*assets.CONTROL_PLANE, *assets.TOOLS]):
        pytest.skip("needs helm and a control plane of its own: KUBEBUILDER_ASSETS with helm, or Go")
    with matrix.stage(Makeup(lease_s=LEASE_S), tmp_path_factory.mktemp("chaos") / "world") as made:
        yield made


@pytest.mark.parametrize(
    ("fault", "target", "moment", "limit_s"),
    [
        (cells.KILLED, cells.LEADER, Moment.BEFORE_DISPATCH, FAILOVER_S),
        (cells.SPOKEN, cells.LEADER, Moment.WRITING_STATUS, FAILOVER_S),
        (cells.STARTED_AGAIN, cells.LEADER, Moment.IN_DELETION, FAILOVER_S),
        (cells.FROZEN, cells.LEADER, Moment.WRITING_STATUS, FAILOVER_S),
        (cells.KILLED, cells.SCHEDULER, Moment.IN_HEAD, FAILOVER_S),
        (cells.KILLED, cells.DEVICE, Moment.RESULT_STORED, WORKER_S),
        (cells.KILLED, cells.SERVER, Moment.LATENT_STORED, SERVER_S),
        (cells.DELETED, cells.SPACE, Moment.BEFORE_DISPATCH, FAILOVER_S),
        (cells.KILLED, cells.ETCD, Moment.WRITING_STATUS, FAILOVER_S),
        (cells.DELETED, cells.JOB, Moment.IN_TAIL, FAILOVER_S),
    ],
    ids=lambda value: str(value).replace(" ", "-") if isinstance(value, str) else "",
)
def test_nothing_is_lost(on: Stage, fault: str, target: str, moment: Moment, limit_s: float) -> None:
    struck, *_ = matrix.run_cell(on, Cell(fault, target, moment, Door.RELAY_JOB))
    assert struck.right, matrix.line(struck)
    assert struck.recovery_s is not None
    assert struck.recovery_s <= limit_s, matrix.line(struck)


def test_a_running_job_does_not_notice_that_no_operator_is_there(on: Stage) -> None:
    struck, running = matrix.run_cell(on, Cell(cells.KILLED, cells.BOTH, Moment.IN_HEAD, Door.RELAY_JOB))
    assert struck.right, matrix.line(struck)
    assert running.recovery_s is not None
    assert running.recovery_s <= STALL_S, matrix.line(running)


def test_a_standby_that_the_kernel_kills_for_want_of_memory_is_missed_by_nobody(on: Stage) -> None:
    if memory.lacks():
        pytest.skip(f"needs {memory.lacks()}")
    struck, running = matrix.run_cell(on, Cell(cells.NO_MEMORY, cells.STANDBY, Moment.IN_HEAD, Door.RELAY_JOB))
    assert struck.right, matrix.line(struck)
    assert running.recovery_s is not None
    assert running.recovery_s <= STALL_S, matrix.line(running)


def test_the_harness_complains_of_a_job_that_is_deleted_behind_its_back(on: Stage) -> None:
    """That it finds what is wrong is tested as well: a job that nobody meant to delete."""
    job = on.named("betrayed")
    matrix.submitted(on, job)
    on.world.delete(job.name)
    lost = [line for line in matrix.verdict(on, settle=1.0).lost if line.startswith(f"{job.name}: ")]
    assert lost
    assert "accepted, and gone" in lost[0]
