"""The quantiles that beta grids are made of, against scipy's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from rise_stage.engine.beta import SHAPE, beta_level, beta_quantile

SHARES = st.floats(0, 1)


@given(share=SHARES)
def test_a_quantile_is_what_stock_schedulers_are_told_by_scipy(share: float) -> None:
    wanted = float(scipy.stats.beta.ppf(share, SHAPE, SHAPE))
    assert beta_quantile(share) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@given(share=SHARES)
def test_both_tails_are_alike(share: float) -> None:
    assert beta_quantile(share) + beta_quantile(1 - share) == pytest.approx(1, abs=1e-12)


@given(one=SHARES, other=SHARES)
def test_a_larger_share_lies_below_a_higher_level(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert beta_level(0.1, 9.0, low) <= beta_level(0.1, 9.0, high)


def test_steps_crowd_at_both_ends() -> None:
    gaps = np.diff([beta_level(0.0, 1.0, index / 10) for index in range(11)])
    assert (beta_level(2.0, 3.0, 0.0), beta_level(2.0, 3.0, 1.0)) == (2.0, 3.0)
    assert max(gaps[0], gaps[-1]) < min(gaps[4:6])
