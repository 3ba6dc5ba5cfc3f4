"""A paced worker computes the same, later; and says so itself, for it sees nothing but its own clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.demo.paced_stage import Paced, PacedBatch, pace_of
from rise_stage.engine.batch import Answer, Ask, Batch


class Doubling:
    """A network of one idea."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        return 2 * inputs[0]

    def row_bytes(self, *inputs: Tensor) -> int:
        return 8


NETWORK = Doubling()


def ask(rows: int) -> Ask:
    return Ask(NETWORK, (torch.arange(float(rows * 4)).reshape(rows, 4), torch.zeros(rows)))


def answers(batch: Batch, asks: list[Ask]) -> list[Answer]:
    found = batch.forward(asks)
    assert all(isinstance(answer, Answer) for answer in found)
    return [answer for answer in found if isinstance(answer, Answer)]


def test_what_is_computed_does_not_depend_on_the_pace() -> None:
    asks = [ask(2), ask(3)]
    quick, slow = answers(Batch(), asks), answers(PacedBatch(lambda: 0.01), asks)
    assert all(torch.equal(a.output, b.output) for a, b in zip(quick, slow, strict=True))


def test_a_pass_takes_its_time_once_however_many_share_it_and_the_report_contains_it() -> None:
    slow = answers(PacedBatch(lambda: 0.05), [ask(1), ask(1), ask(2)])
    assert all(answer.seconds >= 0.05 for answer in slow)
    assert len({answer.seconds for answer in slow}) == 1
    assert sum(answer.share for answer in slow) == 1


@pytest.mark.parametrize(("took", "waits"), [(0.02, 0.08), (0.1, 0.0), (0.3, 0.0)])
def test_what_the_pass_took_itself_counts(took: float, waits: float) -> None:
    slept: list[float] = []
    clock = iter([5.0, 5.0 + took])
    Paced(NETWORK, 0.1, slept.append, lambda: next(clock))(torch.ones(1, 1))
    assert slept == pytest.approx([waits])


def test_a_pace_that_changes_counts_from_the_next_pass() -> None:
    paces = iter([0.0, 0.5])
    batch = PacedBatch(lambda: next(paces))
    (quick,), (slow,) = answers(batch, [ask(1)]), answers(batch, [ask(1)])
    assert quick.seconds < 0.5 <= slow.seconds


def test_memory_is_that_of_the_network_itself() -> None:
    assert Paced(NETWORK, 0.1).row_bytes() == NETWORK.row_bytes()


def test_the_pace_of_a_worker_stands_in_the_file_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "pace.json"
    file.write_text(json.dumps({"edge-1": 0.25}))
    assert (pace_of(file, "edge-1"), pace_of(file, "device-1")) == (0.25, 0.0)
    file.write_text(json.dumps({"edge-1": 0.5}))
    assert pace_of(file, "edge-1") == 0.5
