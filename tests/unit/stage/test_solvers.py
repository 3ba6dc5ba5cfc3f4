"""Solver steps on problems whose answer is known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import Tensor

from rise_contracts.model import Solver
from rise_stage.engine import stock_flow
from rise_stage.engine.denoiser import from_ve, from_vp
from rise_stage.engine.flow import FlowSchedule
from rise_stage.engine.latents import Latent
from rise_stage.engine.levels import FORMS, Form, Level, level_of
from rise_stage.engine.run import intensity, run_grid
from rise_stage.engine.schedules import Grid, build_grid
from rise_stage.engine.solvers import Prediction, ddim, dpmpp_2m, euler, unic, unip
from tests.unit.stage.builders import SCHEDULE, noise

SOLVERS: tuple[Solver, ...] = get_args(Solver)
SPREAD = 0.7
"""Standard deviation of the Gaussian data whose denoiser is known exactly."""


def gaussian(x: Tensor, level: Level, timestep: Tensor, form: Form) -> Prediction:
    """The ideal denoiser of data N(0, SPREAD^2)."""
    sigma = level.sigma
    ve = x if form == "ve" else x / level.alpha
    clean = ve * SPREAD**2 / (SPREAD**2 + sigma**2)
    predicted = (ve - clean) / sigma
    return Prediction(clean, predicted, predicted - clean if form == "flow" else predicted)


def exact_end(start: Tensor, sigma: float) -> Tensor:
    """Where the probability flow takes `start` at `sigma` to: the flow only rescales Gaussian data."""
    return start * SPREAD / math.sqrt(SPREAD**2 + sigma**2)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_follows_the_flow_to_its_end(solver: Solver) -> None:
    errors = []
    for steps in (20, 40, 80):
        grid = build_grid(SCHEDULE, "logsnr", steps, None, 0.05)
        start = noise() * (grid.start if FORMS[solver] == "ve" else 1.0)
        last = [*run_grid(gaussian, noise(), _scaled(grid, solver), solver)][-1]
        ve = start if FORMS[solver] == "ve" else start / level_of(torch.tensor(grid.start)).alpha
        wanted = exact_end(ve, grid.start) * math.sqrt(SPREAD**2 + 0.05**2) / SPREAD
        errors.append(float((last.latent.x - wanted).abs().max()))
    assert errors[0] > errors[1] > errors[2]
    if solver in ("heun", "dpmpp_2m", "unipc"):
        assert errors[1] / errors[2] > 2.8, "second order: half the step, about a quarter of the error"


@pytest.mark.parametrize("solver", [solver for solver in SOLVERS if solver != "ddim"])
def test_a_solver_follows_a_flow_in_its_own_form_to_its_end(solver: Solver) -> None:
    """A straight line between noise and data is walked as surely as the other way of adding noise."""
    walked = stock_flow.solver_schedule(FlowSchedule(3.0, 0.003), solver)
    errors = []
    for steps in (20, 40, 80):
        grid = build_grid(walked, "logsnr", steps, 200.0, 0.05)
        start = Latent(noise() * math.sqrt(SPREAD**2 + 200.0**2), grid.start)
        last = [*run_grid(gaussian, start, grid, solver)][-1]
        wanted = noise() * math.sqrt(SPREAD**2 + grid.end**2)
        errors.append(float((last.latent.x - wanted).abs().max()))
    assert errors[0] > errors[1] > errors[2]
    if solver != "euler":
        assert errors[1] / errors[2] > 2.8, "second order: half the step, about a quarter of the error"


def test_second_order_beats_first_order_with_as_many_steps() -> None:
    def error(solver: Solver) -> float:
        grid = build_grid(SCHEDULE, "logsnr", 15, 10.0, 0.05)
        start = noise() * 10

        last = [*run_grid(gaussian, Latent(start, grid.start), grid, solver)][-1]
        wanted = exact_end(start, 10.0) * math.sqrt(SPREAD**2 + 0.05**2) / SPREAD
        return float((last.latent.x - wanted).abs().max())

    for solver in ("heun", "dpmpp_2m", "unipc"):
        assert error(solver) < error("ddim") / 3


def test_ddim_and_euler_are_the_same_method_in_two_forms() -> None:
    at, to = level_of(torch.tensor(2.0)), level_of(torch.tensor(1.0))
    x = noise()
    there = euler(x, gaussian(x, at, at.sigma, "ve"), at, to)
    here = ddim(gaussian(x * at.alpha, at, at.sigma, "vp"), to) / to.alpha
    assert torch.allclose(here, there, atol=1e-6)


def test_the_last_step_to_the_clean_end_is_the_clean_latent() -> None:
    at, end = level_of(torch.tensor(0.5)), level_of(torch.tensor(0.0))
    x = noise()
    predicted = gaussian(x, at, at.sigma, "vp")
    assert torch.equal(ddim(predicted, end), predicted.clean)
    assert torch.allclose(dpmpp_2m(x, predicted.clean, at, end, None), predicted.clean)


def test_a_multistep_solver_uses_its_past() -> None:
    at, to = level_of(torch.tensor(2.0)), level_of(torch.tensor(1.0))
    x, clean = noise(), noise(1)
    first = dpmpp_2m(x, clean, at, to, None)
    older = level_of(torch.tensor(3.0))
    unchanged = dpmpp_2m(x, clean, at, to, (clean, older))
    moved = dpmpp_2m(x, clean, at, to, (noise(2), older))
    assert torch.equal(first, unchanged), "a past that says the same adds nothing"
    assert not torch.allclose(first, moved)


def test_a_predictor_without_a_past_is_the_first_order_step() -> None:
    at, to = level_of(torch.tensor(2.0)), level_of(torch.tensor(1.0))
    x, clean = noise(), noise(1)
    first = unip(x, clean, at, to, None)
    assert torch.allclose(first, dpmpp_2m(x, clean, at, to, None), atol=1e-6)
    older = level_of(torch.tensor(3.0))
    assert torch.equal(unip(x, clean, at, to, (clean, older)), first)
    assert not torch.allclose(unip(x, clean, at, to, (noise(2), older)), first)


def test_a_corrector_that_learns_nothing_new_leaves_the_predicted_step() -> None:
    """Order 1 where the prediction has not changed, order 2 where it goes on changing as it did."""
    before, at, older = (level_of(torch.tensor(sigma)) for sigma in (2.0, 1.0, 4.0))
    x, clean = noise(), noise(1)
    first = unip(x, clean, before, at, None)
    assert torch.allclose(unic(x, clean, before, at, None, clean), first, atol=1e-6)
    change = noise(2) * math.log(2)
    earlier = (clean - change, older)
    second = unip(x, clean, before, at, earlier)
    assert torch.allclose(unic(x, clean, before, at, earlier, clean + change), second, atol=0.2)
    assert not torch.allclose(unic(x, clean, before, at, earlier, clean), second, atol=0.2)


def test_heun_asks_the_denoiser_again_where_a_step_lands_but_not_at_the_clean_end() -> None:
    asked: list[tuple[float, float]] = []

    def asking(x: Tensor, level: Level, timestep: Tensor, form: Form) -> Prediction:
        asked.append((float(level.sigma), float(timestep[0])))
        return gaussian(x, level, timestep, form)

    grid = build_grid(SCHEDULE, "trailing", 3, None, 0.0)
    list(run_grid(asking, noise(), grid, "heun"))
    points = list(zip(grid.sigmas[:-1], grid.timesteps, strict=True))
    assert asked == [points[0], points[1], points[1], points[2], points[2]]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_both_forms_take_a_latent_apart_alike(prediction: str) -> None:
    level = level_of(torch.tensor(1.7))
    clean, eps = noise(1), noise(2)
    outputs = {
        "epsilon": eps,
        "v_prediction": level.alpha * eps - level.spread * clean,
        "sample": clean,
    }
    x = clean + level.sigma * eps
    for found in (
        from_ve(prediction, x, outputs[prediction], level),
        from_vp(prediction, x * level.alpha, outputs[prediction], level),
    ):
        assert torch.allclose(found.clean, clean, atol=2e-6)
        assert torch.allclose(found.noise, eps, atol=2e-6)


def test_intensity_is_the_moments_of_each_row() -> None:
    found = intensity(torch.stack([torch.zeros(4, 2, 2), torch.full((4, 2, 2), 3.0)]))
    assert found.mean == [0.0, 3.0]
    assert found.std == [0.0, 0.0]
    assert found.norm == [0.0, 12.0]


def test_closing_a_run_stops_it_within_one_step() -> None:
    calls = []

    def counting(x: Tensor, level: Level, timestep: Tensor, form: Form) -> Prediction:
        calls.append(float(level.sigma))
        return gaussian(x, level, timestep, form)

    run = run_grid(counting, noise(), build_grid(SCHEDULE, "trailing", 10, None, 0.0), "euler")
    for made in run:
        if made.index == 3:
            break
    assert len(calls) == 4
    assert torch.is_inference_mode_enabled() is False


def _scaled(grid: Grid, solver: Solver) -> Grid:

    return replace(grid, start_scale=grid.start if FORMS[solver] == "ve" else 1.0)
