from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.reward import failed_reward, reward

unit = st.floats(0, 1)


def test_the_formula() -> None:
    assert reward(0.8, 2.5, preference=0.5, reference_s=5.0) == pytest.approx(0.5 * 0.8 - 0.5 * 0.5 * 0.5)


def test_preference_1_sees_quality_alone_and_0_speed_alone() -> None:
    assert reward(0.8, 100.0, preference=1.0, reference_s=1.0) == 0.8
    assert reward(0.8, 1.0, preference=0.0, reference_s=1.0) == -0.5


def test_a_stuck_job_costs_no_more_than_twice_the_reference() -> None:
    assert reward(0.5, 1e9, preference=0.2, reference_s=1.0) == reward(0.5, 2.0, preference=0.2, reference_s=1.0)


@given(unit, st.floats(0, 1e6), unit, st.floats(1e-3, 1e3))
def test_bounded_and_never_better_than_the_quality(
    quality: float, latency: float, preference: float, reference: float
) -> None:
    value = reward(quality, latency, preference=preference, reference_s=reference)
    assert -1.0 <= value <= preference * quality


@given(unit, st.floats(0, 1e6), unit)
def test_a_failure_is_no_better_than_any_picture(quality: float, latency: float, preference: float) -> None:
    assert failed_reward(preference=preference) <= reward(quality, latency, preference=preference, reference_s=1.0)


@pytest.mark.parametrize(
    ("quality", "latency", "reference"),
    [(math.nan, 1.0, 1.0), (0.5, math.inf, 1.0), (0.5, 1.0, 0.0), (0.5, -1.0, 1.0), (0.5, 1.0, math.nan)],
)
def test_a_number_that_would_poison_the_sums_is_refused(quality: float, latency: float, reference: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        reward(quality, latency, preference=0.5, reference_s=reference)
