"""When a checkpoint is due: never so often that it costs more than its share, whatever it costs."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from rise_stage.checkpoints import SHARE, Habit, is_due

SECONDS = st.floats(1e-6, 1e3)


def test_there_is_none_before_its_time() -> None:
    assert not is_due(3, 10, 1.9, Habit(2.0))
    assert is_due(3, 10, 2.0, Habit(2.0))


def test_there_is_none_after_the_last_step() -> None:
    assert is_due(9, 10, 60.0, Habit(2.0))
    assert not is_due(10, 10, 60.0, Habit(2.0))


def test_zero_turns_it_off() -> None:
    assert not is_due(3, 10, 1e9, Habit(0.0))


def test_one_that_costs_much_comes_seldom() -> None:
    assert not is_due(3, 10, 49.0, Habit(2.0, making_s=0.3, sending_s=0.2))
    assert is_due(3, 10, 50.0, Habit(2.0, making_s=0.3, sending_s=0.2))


@given(steps=st.lists(SECONDS, min_size=1, max_size=60), every=SECONDS, cost=SECONDS)
def test_all_together_never_cost_more_than_their_share(steps: list[float], every: float, cost: float) -> None:
    """Of a stage whose steps take these seconds, with what one costs known from the stage before."""
    habit = Habit(every, making_s=cost)
    spent, since, made_at = 0.0, 0.0, []
    for number, seconds in enumerate(steps, 1):
        since += seconds
        if is_due(number, len(steps), since, habit):
            spent, since = spent + cost, 0.0
            made_at.append(sum(steps[:number]))
    assert spent <= SHARE * sum(steps) * (1 + 1e-9)
    assert all(later - earlier >= every * (1 - 1e-9) for earlier, later in itertools.pairwise([0.0, *made_at]))
