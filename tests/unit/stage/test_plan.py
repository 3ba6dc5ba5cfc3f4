"""Which grid a stage walks."""

from __future__ import annotations

from typing import get_args

import pytest

from rise_contracts.configuration import Configuration
from rise_contracts.errors import InvalidInput, UnknownName
from rise_contracts.model import Grid as GridKind
from rise_contracts.model import Solver
from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, Source
from rise_stage.engine import stock
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.plan import spacing, stage_grid, whole_grid
from rise_stage.engine.schedules import Grid, as_float32
from tests.unit.stage.builders import CONFIG, SCHEDULE

SOLVERS: tuple[Solver, ...] = get_args(Solver)
FAMILY = ModelFamily(
    metadata=Metadata(name="tiny"),
    spec=ModelFamilySpec(
        base=Source(path="nowhere"),
        members=(Member(name="large"), Member(name="small", tier="device", default_guidance=3.0)),
    ),
)


def grid_of(configuration: Configuration, index: int, sigma: float | None = None, **config: object) -> Grid:
    return stage_grid(configuration, index, {**CONFIG, **config}, SCHEDULE, sigma)


def test_our_schedule_is_the_stock_schedule() -> None:
    assert stock.noise_schedule(CONFIG).sigmas == pytest.approx(SCHEDULE.sigmas, rel=1e-4)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_whole_run_walks_the_stock_grid(solver: Solver) -> None:
    grid = grid_of(configuration_of("large:20", FAMILY, solver=solver), 0)
    assert grid == stock.whole_grid(CONFIG, solver, 20)
    assert grid.timesteps == tuple(float(t) for t in range(999, 0, -50))


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_relay_lands_on_the_handoff_and_goes_on_from_it(solver: Solver) -> None:
    configuration = configuration_of("large:4@1.2+small:7", FAMILY, solver=solver)
    head = grid_of(configuration, 0)
    tail = grid_of(configuration, 1, head.end)
    assert (head.steps, tail.steps) == (4, 7)
    assert head.end == as_float32(1.2) == tail.start
    assert tail.end == 0


@pytest.mark.parametrize("arm", ["large:20", "large:4@1.2+small:7"])
def test_steps_without_a_corrector_are_refused_whole_and_cut(arm: str) -> None:
    with pytest.raises(InvalidInput, match="disable_corrector"):
        grid_of(configuration_of(arm, FAMILY, solver="unipc"), 0, disable_corrector=[0])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cut", [1, 7, 19])
def test_slices_of_a_shared_grid_are_the_uncut_grid(solver: Solver, cut: int) -> None:
    whole = stock.whole_grid(CONFIG, solver, 20)
    arm = f"large:{cut}@{whole.sigmas[cut]!r}+large:{20 - cut}"
    configuration = configuration_of(arm, FAMILY, solver=solver, shared_grid=True)
    head = grid_of(configuration, 0)
    tail = grid_of(configuration, 1, head.end)
    assert head == whole.part(0, cut)
    assert tail == whole.part(cut, 20)


def test_a_handoff_beside_the_shared_grid_is_refused() -> None:
    configuration = configuration_of("large:10@1.2+large:10", FAMILY, shared_grid=True)
    with pytest.raises(InvalidInput, match="shared grid has step 10"):
        grid_of(configuration, 0)
    with pytest.raises(InvalidInput, match="shared grid has step 10"):
        grid_of(configuration, 1, 1.2)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"use_karras_sigmas": True}, "karras"),
        ({"use_exponential_sigmas": True}, "logsnr"),
        ({"use_beta_sigmas": True}, "beta"),
        ({"timestep_spacing": "leading"}, "leading"),
        ({"timestep_spacing": "linspace"}, "linspace"),
        ({}, "trailing"),
    ],
)
def test_parts_of_a_run_are_spaced_as_the_family_is(config: dict[str, object], wanted: str) -> None:
    assert spacing({**CONFIG, **config}, "family", "euler") == wanted


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("kind", ["trailing", "linspace", "leading", "karras", "logsnr", "beta"])
def test_a_spacing_that_is_asked_for_overrides_the_familys(kind: GridKind, solver: Solver) -> None:
    grids = {whole_grid({**CONFIG, "timestep_spacing": other}, solver, kind, 9) for other in ("leading", "linspace")}
    assert len({grid.sigmas for grid in grids}) == (1 if kind in ("trailing", "linspace", "leading") else len(grids))
    assert all(grid.steps == 9 and grid.end == 0 for grid in grids)


def test_stock_ddim_goes_on_from_another_level_than_it_landed_on() -> None:
    """At 30 steps it lands 33 timesteps lower and goes on 33 or 34 lower: that is copied, and said."""
    grid = stock.whole_grid(CONFIG, "ddim", 30)
    assert grid.targets != grid.sigmas[1:]
    assert stock.whole_grid(CONFIG, "ddim", 20).targets == stock.whole_grid(CONFIG, "ddim", 20).sigmas[1:]


def test_a_last_sigma_above_0_is_kept() -> None:
    assert stock.whole_grid({**CONFIG, "set_alpha_to_one": False}, "ddim", 10).end > 0
    few = stock.whole_grid({**CONFIG, "final_sigmas_type": "sigma_min"}, "dpmpp_2m", 10)
    many = stock.whole_grid({**CONFIG, "final_sigmas_type": "sigma_min"}, "dpmpp_2m", 20)
    assert few.end > 0
    assert (few.first_order_end, many.first_order_end) == (True, False)


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"thresholding": True}, "thresholding"),
        ({"rescale_betas_zero_snr": True}, "zero_snr"),
    ],
)
def test_options_that_have_no_meaning_here_are_refused(config: dict[str, object], wanted: str) -> None:
    with pytest.raises(InvalidInput, match=wanted):
        stock.whole_grid({**CONFIG, **config}, "ddim", 10)


@pytest.mark.parametrize("steps", [0, 1001])
def test_steps_out_of_range_are_refused(steps: int) -> None:
    with pytest.raises(InvalidInput, match="1 to 1000"):
        stock.whole_grid(CONFIG, "euler", steps)


def test_a_prediction_that_is_not_known_is_refused() -> None:
    with pytest.raises(InvalidInput, match="flow_prediction"):
        stock.prediction_type({"prediction_type": "flow_prediction"})


def test_an_arm_becomes_a_configuration() -> None:
    configuration = configuration_of("large:6@1.5+small:4", FAMILY, wire_dtype="q8", solver="ddim")
    head, tail = configuration.stages
    assert (head.tier, head.sigma_from, head.sigma_to, head.guidance) == ("edge", None, 1.5, 1.0)
    assert (tail.tier, tail.sigma_from, tail.sigma_to, tail.guidance) == ("device", 1.5, 0.0, 3.0)
    assert (configuration.solver, configuration.wire_dtype, configuration.grid) == ("ddim", "q8", "family")


def test_an_arm_with_an_unknown_member_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'large'"):
        configuration_of("lrage:6", FAMILY)
