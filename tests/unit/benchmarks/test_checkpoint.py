"""What a death costs, worked out from when checkpoints were made and stored."""

from __future__ import annotations

import pytest

from benchmarks.checkpoint import Stage, checkpoint_rows, loss

PLAIN = Stage(100.0, 110.0)
HALVED = Stage(100.0, 110.0, (105.0,), (105.0,))


def test_without_checkpoints_all_is_lost() -> None:
    assert (loss(PLAIN).worst, loss(PLAIN).mean) == (10.0, 5.0)


def test_a_checkpoint_in_the_middle_halves_the_loss() -> None:
    assert (loss(HALVED).worst, loss(HALVED).mean) == (5.0, 2.5)


def test_one_counts_from_when_the_server_has_it() -> None:
    late = loss(Stage(100.0, 110.0, (104.0,), (106.0,)))
    assert late.worst == 6.0
    assert late.mean == pytest.approx((6 * 6 / 2 + (6 * 6 - 2 * 2) / 2) / 10)


def test_the_rows_compare_both_kinds_of_stages() -> None:
    rows = {row.name: row for row in checkpoint_rows([HALVED] * 3, [PLAIN] * 3, 2.0)}
    cost = rows["checkpoint_cost"]
    assert (cost.ours, cost.theirs, cost.ratio, cost.n, cost.met) == (10.0, 10.0, 1.0, 3, True)
    assert (rows["checkpoint_lost_s"].ours, rows["checkpoint_lost_s"].met) == (5.0, False)
    assert rows["checkpoint_count"].ours == 1
    slow = {row.name: row for row in checkpoint_rows([Stage(0.0, 10.2, spent_s=0.2)] * 3, [PLAIN] * 3, 2.0)}
    assert not slow["checkpoint_cost"].met
    assert (slow["checkpoint_spent"].ours, slow["checkpoint_spent"].theirs) == (0.2, 10.2)
    assert (slow["checkpoint_spent"].met, rows["checkpoint_spent"].met) == (False, True)
