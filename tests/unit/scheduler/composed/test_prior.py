from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.composed.prior import Prior, solved

NAMES = ("one", "arm=a", "prompt.tokens")


def taught(times: int = 50, value: float = 0.2) -> Ridge:
    ridge = Ridge()
    for index in range(times):
        ridge = ridge.plus({"one": 1.0, "arm=a": float(index % 2), "prompt.tokens": index / times}, value, 1.0)
    return ridge


def test_nothing_seen_is_nothing_believed() -> None:
    model = solved(Ridge(), NAMES, Prior())
    assert model.theta.tolist() == [0.0, 0.0, 0.0]
    assert model.inverse.diagonal() == pytest.approx([1.0, 0.1, 0.25])


def test_the_solution_is_that_of_the_normal_equations() -> None:
    ridge, prior = taught(), Prior()
    model = solved(ridge, ridge.names, prior)
    believed = prior.sums(ridge.names)
    whole = believed.xtx + ridge.xtx
    np.testing.assert_allclose(whole @ model.theta, ridge.rx, atol=1e-9)
    np.testing.assert_allclose(model.inverse, np.linalg.inv(whole), atol=1e-9)


def test_sums_of_another_time_count_as_many_outcomes_as_they_are_said_to_be_worth() -> None:
    offline = taught(1000)
    little, much = (solved(Ridge(), offline.names, Prior(offline, weight=weight)) for weight in (5.0, 500.0))
    x = {"one": 1.0}
    assert 0 < little.mean_of(x) < much.mean_of(x) == pytest.approx(0.2, rel=0.05)
    assert Prior(offline, weight=5.0).sums(offline.names).n == pytest.approx(5.0)
    assert Prior(taught(3), weight=50.0).sums(offline.names).n == pytest.approx(3.0), "never more than was seen"


def test_a_solution_is_kept_while_the_sums_are() -> None:
    ridge, prior = taught(), Prior()
    assert solved(ridge, NAMES, prior) is solved(ridge, NAMES, prior)
    assert solved(ridge, NAMES[:2], prior) is not solved(ridge, NAMES, prior)
    assert solved(ridge, NAMES, Prior()) is not solved(ridge, NAMES, prior)


@given(st.floats(1e-3, 1e3), st.integers(0, 200))
def test_the_solution_is_finite_and_its_variance_positive(precision: float, times: int) -> None:
    model = solved(taught(times, 1.0), NAMES, Prior(precision=precision))
    assert np.isfinite(model.theta).all()
    assert np.linalg.eigvalsh(model.inverse)[0] > 0
