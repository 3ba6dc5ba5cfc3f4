"""The committed table says what the engine draws today."""

from __future__ import annotations

import pytest

import rise_shapes
from benchmarks import _measured, measure_arms
from benchmarks._prompts import prompts
from rise_stage.engine import Engine

ARMS = ("large:6", "small:8", "large:3@1.8+finisher:6")


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(rise_shapes.family(), ["large", "small", "finisher"])


def test_pictures_drawn_anew_are_judged_as_the_table_says(engine: Engine) -> None:
    # Other batches add up in another order: the last bits differ, and a verdict on the brink may turn.
    first, asked = 8, prompts(240)[8:16]
    table = {(row.arm, row.prompt_index, row.seed): row for row in _measured.load()}
    made = list(measure_arms.measure_batch(engine, asked, first, 0, ARMS))
    assert len(made) == len(ARMS) * len(asked)
    kept = [table[row.arm, row.prompt_index, row.seed] for row in made]
    assert [row.prompt for row in made] == [row.prompt for row in kept]
    assert [row.cleanness for row in made] == pytest.approx([row.cleanness for row in kept], abs=0.03)
    assert sum(a.quality != b.quality for a, b in zip(made, kept, strict=True)) <= 1
