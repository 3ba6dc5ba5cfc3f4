"""The rows of memory: which stages are measured, and what counts as a second copy."""

from __future__ import annotations

import pytest

import rise_shapes
from benchmarks._resident import Grown
from benchmarks._worker import arm_of
from benchmarks.memory import MIB, loading_row
from rise_contracts.configuration import parse_arm


@pytest.mark.parametrize(("most", "met"), [(100, True), (115, True), (116, False), (300, False)])
def test_a_second_copy_is_more_than_a_seventh_of_the_weights(most: int, met: bool) -> None:
    found = loading_row("loading", Grown(100 * MIB, most * MIB))
    assert (found.ours, found.theirs, found.ratio, found.met) == (most, 100, most / 100, met)


def test_a_head_is_of_the_first_member_and_a_tail_of_the_last() -> None:
    family = rise_shapes.family()
    head, tail = parse_arm(arm_of(family, whole=False))
    assert (head.member, tail.member) == (family.spec.members[0].name, family.spec.members[-1].name)
    assert head.until_sigma == family.spec.handoffs[0]
    (whole,) = parse_arm(arm_of(family, whole=True))
    assert (whole.member, whole.until_sigma) == (head.member, None)
