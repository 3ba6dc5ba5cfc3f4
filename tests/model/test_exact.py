"""A whole job by the engine is the stock pipeline's: same weights, seed, steps, guidance, negative prompt."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from rise_contracts.errors import InvalidInput
from rise_contracts.model import Solver
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from tests.model.conftest import folder_of
from tests.model.tiny import FLOWS, flow_options, rescheduled, stock_pipeline

STOCK: dict[Solver, Any] = {
    "euler": EulerDiscreteScheduler,
    "heun": HeunDiscreteScheduler,
    "ddim": DDIMScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
}
ON_A_FLOW: dict[Solver, Any] = {
    "euler": FlowMatchEulerDiscreteScheduler,
    "heun": FlowMatchHeunDiscreteScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
}
SHIFTED: dict[Solver, Any] = {solver: kind for solver, kind in ON_A_FLOW.items() if solver != "heun"}
"""Where a pipeline gives every scheduler a shift by size, which stock Heun does not take."""
FAMILIES: dict[str, dict[Solver, Any]] = {
    **dict.fromkeys(("sd", "sdxl", "pixart"), STOCK),
    **dict.fromkeys(("sd3", "sana", "wan"), ON_A_FLOW),
    **dict.fromkeys(("flux", "flux2"), SHIFTED),
}
SERVED = [(architecture, solver) for architecture, solvers in FAMILIES.items() for solver in solvers]
BOUND = 1e-5
PROMPT, NEGATIVE, SEEDS = "a red dot", "bad", (5, 6)


def ours(engine: Engine, solver: Solver, steps: int, guidance: float, negative: str) -> Tensor:
    configuration = configuration_of(f"large:{steps}", engine.manifest, solver=solver, guidance=[guidance])
    conditioning = engine.encode([PROMPT], guidance, negative).rows(len(SEEDS))
    grid = engine.grid(configuration, 0)
    *_, last = engine.run("large", conditioning, engine.noise(SEEDS), grid, solver)
    return last.x


def theirs(pipeline: Any, steps: int, guidance: float, negative: str) -> Tensor:
    latents: Tensor = pipeline(
        PROMPT,
        **({"negative_prompt": negative} if negative else {}),
        num_inference_steps=steps,
        guidance_scale=guidance,
        num_images_per_prompt=len(SEEDS),
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="latent",
    ).images
    return latents


@pytest.mark.parametrize(("architecture", "solver"), SERVED)
def test_final_latents_are_the_stock_pipelines(
    architecture: str, solver: Solver, request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    options = flow_options(solver) if engine.family.flow else {}
    pipeline = stock_pipeline(folder_of(engine.manifest), FAMILIES[architecture][solver], architecture, **options)
    against = NEGATIVE if engine.family.guided else ""
    for steps, guidance, negative in ((7, 1.0, ""), (10, 7.5, against), (5, 3.0, "")):
        wanted = theirs(pipeline, steps, guidance, negative)
        found = ours(engine, solver, steps, guidance, negative)
        assert float((found - wanted).abs().max()) <= BOUND, (steps, guidance, negative)


OPTIONS: dict[str, dict[str, Any]] = {
    "linspace": {"timestep_spacing": "linspace"},
    "leading with an offset": {"timestep_spacing": "leading", "steps_offset": 1},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "beta down to a last sigma above 0": {"use_beta_sigmas": True, "final_sigmas_type": "sigma_min"},
    "a last sigma above 0": {"final_sigmas_type": "sigma_min", "set_alpha_to_one": False},
    "the noise is predicted": {"prediction_type": "epsilon"},
    "the picture is predicted": {"prediction_type": "sample"},
    "linear betas": {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
}


@pytest.mark.parametrize("case", OPTIONS)
@pytest.mark.parametrize("solver", STOCK)
def test_a_familys_scheduler_options_mean_what_they_mean_in_diffusers(
    case: str, solver: Solver, sd_engine: Engine
) -> None:
    with rescheduled(sd_engine, OPTIONS[case]) as engine:
        pipeline = stock_pipeline(folder_of(engine.manifest), STOCK[solver], **OPTIONS[case])
        difference = ours(engine, solver, 6, 1.0, "") - theirs(pipeline, 6, 1.0, "")
    assert float(difference.abs().max()) <= BOUND


FLOW_OPTIONS: dict[str, dict[str, Any]] = {
    "shifted more": {"shift": 6.0},
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "beta": {"use_beta_sigmas": True},
    "shifted by the size": {"use_dynamic_shifting": True},
    "shifted by the size, linearly": {"use_dynamic_shifting": True, "time_shift_type": "linear"},
}


@pytest.mark.parametrize("case", FLOW_OPTIONS)
def test_a_flow_familys_scheduler_options_mean_what_they_mean_in_diffusers(case: str, sd3_engine: Engine) -> None:
    options = FLOW_OPTIONS[case]
    with rescheduled(sd3_engine, options) as engine:
        pipeline = stock_pipeline(folder_of(engine.manifest), FlowMatchEulerDiscreteScheduler, "sd3", **options)
        for steps in (1, 2, 6):
            difference = ours(engine, "euler", steps, 1.0, "") - theirs(pipeline, steps, 1.0, "")
            assert float(difference.abs().max()) <= BOUND, steps


@pytest.mark.parametrize("own", [DPMSolverMultistepScheduler, UniPCMultistepScheduler])
@pytest.mark.parametrize("solver", ON_A_FLOW)
def test_a_family_with_a_multistep_flow_scheduler_is_a_flow_family(
    own: Any, solver: Solver, sd3_engine: Engine
) -> None:
    """As Sana and Wan are published."""
    options = {**flow_options("unipc"), "flow_shift": 5.0, "shift": 5.0, "_class_name": own.__name__}
    with rescheduled(sd3_engine, options) as engine:
        pipeline = stock_pipeline(folder_of(engine.manifest), ON_A_FLOW[solver], "sd3", **options)
        for steps, guidance in ((7, 1.0), (20, 4.5)):
            difference = ours(engine, solver, steps, guidance, "") - theirs(pipeline, steps, guidance, "")
            assert float(difference.abs().max()) <= BOUND, steps


NOISY = [
    {"_class_name": "EulerAncestralDiscreteScheduler"},
    {"algorithm_type": "sde-dpmsolver++"},
    {"stochastic_sampling": True},
    {"eta": 0.3},
]


@pytest.mark.parametrize("options", NOISY)
@pytest.mark.parametrize("architecture", ["sd", "sd3"])
def test_a_scheduler_that_draws_noise_is_refused(
    architecture: str, options: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    flow = {"use_flow_sigmas": True} if engine.family.flow else {}
    with (
        pytest.raises(InvalidInput, match=r"a sampler that draws no noise.*choose a deterministic one"),
        rescheduled(engine, {**flow, **options}),
    ):
        raise AssertionError("it was loaded")


@pytest.mark.parametrize("architecture", FAMILIES)
def test_pictures_are_the_stock_pipelines(architecture: str, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    options = flow_options("euler") if engine.family.flow else {}
    pipeline = stock_pipeline(folder_of(engine.manifest), FAMILIES[architecture]["euler"], architecture, **options)
    generator = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    wanted = pipeline(
        [PROMPT, "a blue dot"], num_inference_steps=4, guidance_scale=1.0, generator=generator, output_type="np"
    ).images
    found = engine.generate([PROMPT, "a blue dot"], SEEDS, "large:4").images
    # Two prompts: the stock pipeline encodes them in one batch, we one by one, which may differ in the last bit.
    difference = found.int() - torch.from_numpy((wanted * 255).round()).int()
    assert int(difference.abs().max()) <= 1
    assert float((difference != 0).float().mean()) < 0.01


@pytest.mark.parametrize("architecture", ["sd", "pixart", *FLOWS])
def test_a_graph_makes_the_same_latents(architecture: str, request: pytest.FixtureRequest) -> None:
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    plain = engine.generate([PROMPT], [1], "large:5").latents
    engine.warm("large")
    assert torch.equal(engine.generate([PROMPT], [1], "large:5").latents, plain)
