"""The rows of the batch benchmark, and that its jobs differ in all that they should."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import batch
from benchmarks._rows import Row

SPEEDS = batch.Speeds(
    one_by_one=10.0,
    company={1: 9.8, 2: 12.0, 4: 9.0, 8: 15.0, 16: 16.0},
    groups={1: 9.9, 2: 11.0, 4: 10.0, 8: 12.0, 16: 12.0},
)


def test_each_size_is_held_against_one_after_another_and_against_whole_jobs() -> None:
    rows: dict[str, Row] = {row.name: row for row in batch.speed_rows(SPEEDS, 48)}
    assert list(rows) == [
        *(f"batch_{size}" for size in batch.SIZES),
        *(f"batch_{size}_whole" for size in batch.SIZES if size > 1),
    ]
    assert (rows["batch_1"].ratio, rows["batch_1"].met) == (0.98, True)
    assert (rows["batch_4"].ratio, rows["batch_4"].met) == (0.9, False)
    assert (rows["batch_8"].ours, rows["batch_8"].theirs, rows["batch_8"].ratio) == (15.0, 10.0, 1.5)
    assert (rows["batch_8_whole"].theirs, rows["batch_8_whole"].ratio) == (12.0, 1.25)
    assert rows["batch_4_whole"].met is False


@pytest.mark.parametrize(("farthest", "met"), [(0.0, True), (9e-5, True), (2e-4, False)])
def test_company_must_not_move_a_latent_further_than_is_promised(farthest: float, met: bool) -> None:
    assert batch.distance_row(farthest, 48).met is met


def test_by_default_it_measures_as_a_worker_runs() -> None:
    options = batch.arguments([])
    assert (options.threads, options.jobs, options.json) == (1, 48, Path("out/bench-batch.json"))
