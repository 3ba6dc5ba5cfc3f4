"""The noise levels of flow matching, and that a handoff in sigma loses none of them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from diffusers.pipelines.flux2.pipeline_flux2 import compute_empirical_mu
from hypothesis import given
from hypothesis import strategies as st

from rise_contracts.errors import InvalidInput
from rise_contracts.model import Solver
from rise_stage.engine import stock
from rise_stage.engine.denoiser import from_flow
from rise_stage.engine.flow import FlowSchedule, to_s, to_sigma
from rise_stage.engine.levels import flow_level, from_ve, to_ve
from rise_stage.engine.plan import spacing
from rise_stage.engine.schedules import Spacing, build_grid
from rise_stage.engine.solvers import euler
from tests.unit.stage.builders import noise

CONFIG = {"_class_name": stock.FLOW, "num_train_timesteps": 1000, "shift": 3.0}
SANA = {
    "_class_name": "DPMSolverMultistepScheduler",
    "num_train_timesteps": 1000,
    "use_flow_sigmas": True,
    "flow_shift": 3.0,
    "prediction_type": "flow_prediction",
    "lambda_min_clipped": -math.inf,
}
DYNAMIC = {**CONFIG, "use_dynamic_shifting": True, "timestep_spacing": "trailing"}
SCHEDULE = FlowSchedule(3.0, 0.003)
INSIDE = st.floats(0.05, 1000.0)
KINDS: tuple[Spacing, ...] = ("trailing", "linspace", "leading", "karras", "logsnr", "beta")


@given(s=st.floats(2**-13, 1 - 2**-13, width=32))
def test_a_level_of_the_flow_comes_back_from_sigma_to_the_last_bit(s: float) -> None:
    assert to_s(to_sigma(s)) == float(np.float32(s))


def test_pure_noise_is_at_infinite_sigma() -> None:
    assert to_sigma(1.0) == math.inf
    assert to_s(math.inf) == 1.0
    assert SCHEDULE.position(math.inf) == pytest.approx(999)
    assert SCHEDULE.sigma(-1.0) == 0.0


@given(sigma=INSIDE)
def test_a_position_leads_back_to_its_sigma(sigma: float) -> None:
    assert SCHEDULE.sigma(SCHEDULE.position(sigma)) == pytest.approx(sigma, rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
@given(top=INSIDE, steps=st.integers(1, 30))
def test_a_tail_starts_at_the_senders_exact_level_and_ends_clean(kind: Spacing, top: float, steps: int) -> None:
    sent = SCHEDULE.snap(top)
    grid = build_grid(SCHEDULE, kind, steps, sent, 0.0)
    assert grid.start == sent
    assert to_s(grid.start) == to_s(sent)
    assert (grid.end, grid.steps, grid.flow) == (0.0, steps, True)
    assert all(later < earlier for earlier, later in itertools.pairwise(grid.sigmas))


MULTISTEP: list[Solver] = ["dpmpp_2m", "unipc"]


@pytest.mark.parametrize("steps", [1, 4, 20])
@pytest.mark.parametrize("solver", MULTISTEP)
def test_our_grid_for_a_multistep_solver_is_the_stock_grid_but_for_whole_timesteps(solver: Solver, steps: int) -> None:
    """Stock tells the denoiser the timestep cut to a whole one; a part of a run has no reason to."""
    stocks = stock.whole_grid(CONFIG, solver, steps)
    walked = stock.solver_schedule(SCHEDULE, solver)
    ours = build_grid(walked, spacing(CONFIG, "family", solver), steps, None, 0.0)
    assert ours.sigmas == pytest.approx(stocks.sigmas, rel=1e-4)
    assert [math.floor(timestep) for timestep in ours.timesteps] == list(stocks.timesteps)


@pytest.mark.parametrize("solver", MULTISTEP)
def test_a_multistep_solver_begins_just_below_pure_noise(solver: Solver) -> None:
    walked = stock.solver_schedule(SCHEDULE, solver)
    for kind in KINDS:
        grid = build_grid(walked, kind, 5, None, 0.0)
        assert 0.999 < to_s(grid.start) < 1
    assert to_s(stock.whole_grid({**CONFIG, "use_karras_sigmas": True}, solver, 5, respaced=True).start) < 1
    assert stock.solver_schedule(SCHEDULE, "heun") is SCHEDULE


@pytest.mark.parametrize("config", [CONFIG, SANA])
def test_both_ways_of_writing_a_shifted_flow_are_one(config: dict[str, object]) -> None:
    assert stock.is_flow(config)
    assert stock.prediction_type(config) == "flow_prediction"
    assert stock.schedule_of(config, 256, 8) == stock.schedule_of(CONFIG, 256, 8)
    for solver in (*MULTISTEP, "euler", "heun"):
        assert stock.whole_grid(config, solver, 8) == stock.whole_grid(CONFIG, solver, 8)


@pytest.mark.parametrize(
    ("options", "solver", "wanted"),
    [
        ({"final_sigmas_type": "sigma_min"}, "dpmpp_2m", "final_sigmas_type: wanted zero"),
        ({"use_karras_sigmas": True}, "unipc", r"use_karras_sigmas: wanted false.*by its name instead"),
        ({"use_beta_sigmas": True}, "dpmpp_2m", "use_beta_sigmas: wanted false"),
        ({"disable_corrector": [0]}, "unipc", "disable_corrector"),
    ],
)
def test_what_a_stock_multistep_scheduler_makes_no_sense_of_is_refused(
    options: dict[str, object], solver: Solver, wanted: str
) -> None:
    with pytest.raises(InvalidInput, match=wanted):
        stock.whole_grid({**SANA, **options}, solver, 8)


def test_flow_sigmas_need_a_flow_prediction() -> None:
    with pytest.raises(InvalidInput, match="flow_prediction, with use_flow_sigmas"):
        stock.prediction_type({**SANA, "prediction_type": "epsilon"})


@pytest.mark.parametrize("steps", [1, 4, 20])
@pytest.mark.parametrize(("config", "kind"), [(CONFIG, "linspace"), (DYNAMIC, "trailing")])
def test_our_grid_from_the_top_is_the_stock_grid(config: dict[str, object], kind: Spacing, steps: int) -> None:
    stocks = stock.whole_grid(config, "euler", steps, tokens=1024)
    ours = build_grid(stock.schedule_of(config, 1024, steps), kind, steps, None, 0.0)
    assert ours.timesteps == pytest.approx(stocks.timesteps, rel=1e-4)
    assert ours.sigmas == pytest.approx(stocks.sigmas, rel=1e-2)
    assert stocks.start == math.inf
    assert stocks.flow


def test_larger_pictures_are_shifted_to_more_noise() -> None:
    small, large = (stock.whole_grid(DYNAMIC, "euler", 10, tokens=tokens) for tokens in (256, 4096))
    assert all(high > low for high, low in zip(large.sigmas[1:-1], small.sigmas[1:-1], strict=True))


@pytest.mark.parametrize("tokens", [64, 1024, 4096, 4300, 4301, 16384])
@pytest.mark.parametrize("steps", [1, 4, 28, 50, 200])
def test_flux2_shifts_by_tokens_and_steps_as_the_stock_pipeline_does(tokens: int, steps: int) -> None:
    config = {**DYNAMIC, "shift_by_steps": True}
    shift = stock.flow_schedule(config, tokens, steps).shift
    assert shift == pytest.approx(math.exp(compute_empirical_mu(tokens, steps)), rel=1e-12)
    grid = stock.whole_grid(config, "euler", steps, tokens)
    assert grid.sigmas[-2] == pytest.approx(shift / (steps - 1) if steps > 1 else math.inf, rel=1e-3)


@given(sigma=st.floats(0.01, 500), seed=st.integers(0, 1000))
def test_a_flow_latent_comes_back_bit_for_bit(sigma: float, seed: int) -> None:
    level = flow_level(SCHEDULE.snap(sigma))
    x = noise(seed)
    scaled, lost = to_ve(x, level.alpha)
    assert torch.equal(from_ve(scaled, level.alpha, lost), x)


def test_a_flow_latent_is_taken_apart_and_walked_along_the_straight_line() -> None:
    clean, eps = noise(1), noise(2)
    at, to = flow_level(4.0), flow_level(0.0)
    x = at.alpha * clean + at.spread * eps
    found = from_flow(x, eps - clean, at)
    assert torch.allclose(found.clean, clean, atol=2e-6)
    assert torch.allclose(found.noise, eps, atol=2e-6)
    assert torch.allclose(euler(x, found, at, to), clean, atol=2e-6)


def test_ddim_on_a_flow_is_refused_for_what_it_would_be() -> None:
    with pytest.raises(InvalidInput, match=r"euler, heun, dpmpp_2m or unipc.*DDIM is Euler's method"):
        stock.whole_grid(CONFIG, "ddim", 4)


@pytest.mark.parametrize("option", ["shift_terminal", "invert_sigmas"])
def test_an_option_that_is_not_served_is_refused(option: str) -> None:
    with pytest.raises(InvalidInput, match=option):
        stock.schedule_of({**CONFIG, option: True}, 256, 20)


def test_a_spacing_that_stock_flows_do_not_have_is_refused() -> None:
    with pytest.raises(InvalidInput, match="linspace or trailing"):
        stock.whole_grid({**CONFIG, "timestep_spacing": "leading"}, "euler", 4)
