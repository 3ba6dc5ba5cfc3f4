"""Both sides of the engine's benchmark make the same picture, or there is no figure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.engine import compare


def painter(colour: int, asked: list[str]) -> Callable[[str, int], Tensor]:
    def paint(prompt: str, seed: int) -> Tensor:
        asked.append(prompt)
        return torch.full((2, 2, 3), colour, dtype=torch.uint8)

    return paint


def test_both_sides_are_asked_for_the_same_new_words_in_turns() -> None:
    ours: list[str] = []
    theirs: list[str] = []
    row = compare("image_seconds", painter(7, ours), painter(8, theirs), 3)
    assert ours == theirs
    assert len(set(ours)) == 4
    assert (row.name, row.n) == ("image_seconds", 3)


def test_pictures_that_are_not_the_same_give_no_figure() -> None:
    with pytest.raises(RuntimeError, match="differ by 10 of 255"):
        compare("image_seconds", painter(0, []), painter(10, []), 1)
