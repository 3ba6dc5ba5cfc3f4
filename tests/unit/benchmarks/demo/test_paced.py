"""A paced worker computes the same, later; and says so itself, for it sees nothing but its own clock."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.demo.paced_stage import Paced, PacedBatch, pause_of
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


def test_a_pass_takes_its_pause_once_however_many_share_it_and_the_report_contains_it() -> None:
    slow = answers(PacedBatch(lambda: 0.05), [ask(1), ask(1), ask(2)])
    assert all(answer.seconds >= 0.05 for answer in slow)
    assert len({answer.seconds for answer in slow}) == 1
    assert sum(answer.share for answer in slow) == 1


def test_a_pace_that_changes_counts_from_the_next_pass() -> None:
    slept: list[float] = []
    for pause in (0.1, 0.2):
        Paced(NETWORK, pause, slept.append)(torch.ones(1, 1))
    assert slept == [0.1, 0.2]


def test_memory_is_that_of_the_network_itself() -> None:
    assert Paced(NETWORK, 0.1).row_bytes() == NETWORK.row_bytes()


def test_the_pace_of_a_worker_stands_in_the_file_under_its_name(tmp_path: Path) -> None:
    file = tmp_path / "pace.json"
    file.write_text(json.dumps({"edge-1": 0.25}))
    assert (pause_of(file, "edge-1"), pause_of(file, "device-1")) == (0.25, 0.0)
    file.write_text(json.dumps({"edge-1": 0.5}))
    assert pause_of(file, "edge-1") == 0.5
