from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.composed.evidence import NAMES_KEPT, Level, Ridge, faded

finite = st.floats(-1e3, 1e3)
rows = st.lists(st.tuples(st.dictionaries(st.sampled_from("abcdef"), finite, max_size=6), finite), max_size=8)


def summed(outcomes: list[tuple[dict[str, float], float]]) -> Ridge:
    ridge = Ridge()
    for x, y in outcomes:
        ridge = ridge.plus(x, y, 1.0)
    return ridge


def test_evidence_loses_a_factor_e_in_its_memory() -> None:
    assert faded(100, 100.0) == pytest.approx(1 / math.e)
    assert faded(0, 100.0) == 1.0
    assert faded(10**9, math.inf) == 1.0


def test_a_clock_that_steps_back_makes_nothing_younger() -> None:
    level = Level(clock=50).plus(1.0, 1.0)
    assert level.at(10, 20.0) == level
    assert faded(-5, 20.0) == 1.0
    ridge = replace(Ridge(), clock=50).plus({"a": 1.0}, 1.0, 1.0)
    assert ridge.at(10, 20.0) is ridge


def test_fading_twice_is_fading_once_for_as_long() -> None:
    level = Level().plus(3.0, 2.0)
    twice, once = level.at(5, 30.0).at(12, 30.0), level.at(12, 30.0)
    assert (twice.n, twice.total) == pytest.approx((once.n, once.total))


def test_a_level_comes_to_its_mean_as_evidence_grows() -> None:
    level = Level()
    assert level.posterior(0.3, 0.2) == pytest.approx((0.0, 0.09))
    for _ in range(1000):
        level = level.plus(0.5, 1.0)
    mean, variance = level.posterior(0.3, 0.2)
    assert mean == pytest.approx(0.5, abs=1e-3)
    assert variance == pytest.approx(0.04 / 1000, rel=0.01)


@given(rows)
def test_sums_are_those_of_least_squares(outcomes: list[tuple[dict[str, float], float]]) -> None:
    ridge = summed(outcomes)
    design = np.array([[x.get(name, 0.0) for name in ridge.names] for x, _ in outcomes]).reshape(
        len(outcomes), len(ridge.names)
    )
    values = np.array([y for _, y in outcomes])
    np.testing.assert_allclose(ridge.xtx, design.T @ design, atol=1e-6)
    np.testing.assert_allclose(ridge.rx, design.T @ values, atol=1e-6)
    assert ridge.n == len(outcomes)


@given(rows.filter(lambda found: 1 < len(found) < 5))
def test_outcomes_add_up_in_any_order(outcomes: list[tuple[dict[str, float], float]]) -> None:
    first = summed(outcomes)
    for order in permutations(outcomes):
        other = summed(list(order)).over(first.names)
        np.testing.assert_allclose(other.xtx, first.xtx, atol=1e-6)
        np.testing.assert_allclose(other.rx, first.rx, atol=1e-6)


@given(rows, st.integers(0, 10**5))
def test_sums_stay_positive_semidefinite_however_long_they_fade(
    outcomes: list[tuple[dict[str, float], float]], ticks: int
) -> None:
    ridge = summed(outcomes).at(ticks, 200.0)
    assert np.isfinite(ridge.xtx).all()
    if ridge.names:
        assert np.linalg.eigvalsh(ridge.xtx)[0] >= -1e-9 * max(1.0, float(np.trace(ridge.xtx)))


def test_sums_over_other_names_are_mapped_by_name() -> None:
    ridge = summed([({"a": 1.0, "b": 2.0}, 3.0)])
    turned = ridge.over(("b", "new", "a"))
    assert turned.xtx.tolist() == [[4.0, 0.0, 2.0], [0.0, 0.0, 0.0], [2.0, 0.0, 1.0]]
    assert turned.rx.tolist() == [6.0, 0.0, 3.0]
    assert ridge.over(ridge.names) is ridge


def test_features_with_least_evidence_make_room_for_new_ones() -> None:
    ridge = Ridge()
    for index in range(NAMES_KEPT):
        ridge = ridge.plus({f"f{index}": 1.0 + index}, 1.0, 1.0)
    ridge = ridge.plus({"newcomer": 0.5}, 1.0, 1.0)
    assert len(ridge.names) == NAMES_KEPT
    assert "f0" not in ridge.names
    assert {"f1", f"f{NAMES_KEPT - 1}", "newcomer"} < set(ridge.names)
