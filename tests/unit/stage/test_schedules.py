"""Grids of sigmas: where they start and end, and that sigma and timestep are one thing said in two ways."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.errors import InvalidInput
from rise_stage.engine.schedules import Grid, Spacing, as_float32, build_grid, from_sigmas, same_sigma
from tests.unit.stage.builders import SCHEDULE

KINDS = get_args(Spacing)
INSIDE = st.floats(SCHEDULE.sigma_min * 1.01, SCHEDULE.sigma_max)


@given(sigma=st.floats(0, SCHEDULE.sigma_max))
def test_a_position_leads_back_to_its_sigma(sigma: float) -> None:
    assert SCHEDULE.sigma(SCHEDULE.position(sigma)) == pytest.approx(sigma, rel=1e-6, abs=1e-9)


@given(index=st.integers(0, 999))
def test_the_levels_of_training_have_whole_positions(index: int) -> None:
    assert SCHEDULE.position(SCHEDULE.sigmas[index]) == pytest.approx(index, abs=1e-6)


@given(one=st.floats(0, SCHEDULE.sigma_max), other=st.floats(0, SCHEDULE.sigma_max))
def test_more_noise_is_never_a_lower_position(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert SCHEDULE.position(low) <= SCHEDULE.position(high)


def test_the_clean_end_is_below_the_first_timestep_and_the_denoiser_is_never_told_so() -> None:
    assert SCHEDULE.position(0.0) == -1.0
    assert SCHEDULE.timestep(0.0) == 0.0
    assert SCHEDULE.sigma(-1.0) == 0.0


@pytest.mark.parametrize("kind", KINDS)
@given(top=INSIDE, steps=st.integers(1, 50))
def test_a_tail_starts_at_the_senders_exact_sigma_and_ends_clean(kind: Spacing, top: float, steps: int) -> None:
    grid = build_grid(SCHEDULE, kind, steps, top, 0.0)
    assert grid.start == as_float32(top)
    assert grid.end == 0.0
    assert grid.steps == steps
    assert all(later < earlier for earlier, later in itertools.pairwise(grid.sigmas))
    assert all(0 <= timestep <= 999 for timestep in grid.timesteps)


@pytest.mark.parametrize("kind", KINDS)
@given(bottom=st.floats(SCHEDULE.sigma_min, SCHEDULE.sigma_max * 0.9), steps=st.integers(1, 50))
def test_a_head_lands_exactly_on_the_handoff(kind: Spacing, bottom: float, steps: int) -> None:
    grid = build_grid(SCHEDULE, kind, steps, None, bottom)
    assert grid.start == as_float32(SCHEDULE.sigma_max)
    assert grid.end == as_float32(bottom)
    assert grid.targets[-1] == as_float32(bottom)


@given(steps=st.sampled_from([1, 2, 4, 5, 8, 10, 20, 25, 40, 50]))
def test_trailing_from_the_top_is_the_stock_trailing_grid(steps: int) -> None:
    grid = build_grid(SCHEDULE, "trailing", steps, None, 0.0)
    wanted = [1000 - 1000 / steps * index - 1 for index in range(steps)]
    assert grid.timesteps == pytest.approx(wanted, abs=1e-3)


def test_linspace_ends_on_timestep_0_and_leading_above_it() -> None:
    assert build_grid(SCHEDULE, "linspace", 5, None, 0.0).timesteps[-1] == pytest.approx(0, abs=1e-3)
    assert build_grid(SCHEDULE, "leading", 5, None, 0.0).timesteps[-1] == pytest.approx(999 / 5, abs=1e-2)


def test_karras_is_even_in_the_seventh_root() -> None:
    roots = [sigma ** (1 / 7) for sigma in build_grid(SCHEDULE, "karras", 6, 8.0, 0.5).sigmas]
    gaps = [earlier - later for earlier, later in itertools.pairwise(roots)]
    assert gaps == pytest.approx([gaps[0]] * 6, rel=1e-4)


@pytest.mark.parametrize(("top", "bottom"), [(1.0, 1.0), (1.0, 2.0), (1.0, -0.5)])
def test_a_stage_must_go_down(top: float, bottom: float) -> None:
    with pytest.raises(InvalidInput, match="goes down"):
        build_grid(SCHEDULE, "trailing", 4, top, bottom)


def test_more_steps_than_float32_can_tell_apart_are_refused() -> None:
    with pytest.raises(InvalidInput, match="told apart"):
        build_grid(SCHEDULE, "trailing", 200, 1.0, 0.999998)


def test_no_steps_are_refused() -> None:
    with pytest.raises(InvalidInput, match="at least 1"):
        build_grid(SCHEDULE, "trailing", 0, 1.0, 0.0)


@given(steps=st.integers(2, 30), data=st.data())
def test_the_parts_of_a_grid_join_to_the_whole(steps: int, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, steps - 1))
    whole = build_grid(SCHEDULE, "trailing", steps, None, 0.0)
    head, tail = whole.part(0, cut), whole.part(cut, steps)
    assert head.end == tail.start
    assert (*head.sigmas, *tail.sigmas[1:]) == whole.sigmas
    assert (*head.timesteps, *tail.timesteps) == whole.timesteps
    assert (head.first_order_end, tail.first_order_end) == (False, whole.first_order_end)


def test_a_part_keeps_the_alphas_of_its_levels() -> None:
    whole = Grid((3.0, 2.0, 1.0), (9.0, 5.0), (2.0, 1.0), alpha_bars=(0.1, 0.2, 0.5), target_alpha_bars=(0.2, 0.5))
    part = whole.part(1, 2)
    assert part.alpha_bars == (0.2, 0.5)
    assert part.target_alpha_bars == (0.5,)


def test_given_sigmas_are_taken_as_they_are() -> None:
    assert from_sigmas(SCHEDULE, (2.0, 1.0, 0.0)).sigmas == (2.0, 1.0, 0.0)


def test_a_noise_level_survives_the_way_through_float32() -> None:
    assert same_sigma(1.2, as_float32(1.2))
    assert not same_sigma(1.2, 1.2001)
