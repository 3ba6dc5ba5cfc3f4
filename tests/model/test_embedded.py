"""The embedded family as it ships: the stock pipeline loads it and makes the same pictures."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)

import rise_shapes
from rise_contracts.model import Solver
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from tests.model.one_side import SOLVERS
from tests.model.tiny import stock_pipeline

PROMPT = "a small red circle above a large blue square"
STOCK: dict[Solver, Any] = {
    "euler": EulerDiscreteScheduler,
    "ddim": DDIMScheduler,
    "dpmpp_2m": DPMSolverMultistepScheduler,
    "heun": HeunDiscreteScheduler,
    "unipc": UniPCMultistepScheduler,
}


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(rise_shapes.family())


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("steps", "guidance"), [(24, 1.0), (10, 4.0)])
def test_a_whole_job_is_the_stock_pipelines(engine: Engine, solver: Solver, steps: int, guidance: float) -> None:
    pipeline = stock_pipeline(rise_shapes.weights_dir(), STOCK[solver], "pixart")
    wanted = pipeline(
        PROMPT,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=[torch.Generator().manual_seed(7)],
        output_type="latent",
    ).images
    configuration = configuration_of(f"large:{steps}", engine.manifest, solver=solver)
    found = engine.generate([PROMPT], [7], configuration, guidance=guidance).latents
    assert float((found - wanted).abs().max()) <= 1e-5


def test_pictures_are_the_stock_pipelines(engine: Engine) -> None:
    pipeline = stock_pipeline(rise_shapes.weights_dir(), STOCK[engine.manifest.spec.solver], "pixart")
    generator = [torch.Generator().manual_seed(7)]
    wanted = pipeline(PROMPT, num_inference_steps=8, guidance_scale=1.0, generator=generator, output_type="np").images
    found = engine.generate([PROMPT], [7], "large:8", guidance=1.0).images
    assert torch.equal(found, torch.from_numpy((wanted * 255).round().astype("uint8")))


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("cut", [1, 9, 19])
def test_a_cut_run_is_the_uncut_run(engine: Engine, solver: Solver, cut: int) -> None:
    whole = configuration_of("large:20", engine.manifest, solver=solver)
    sigma = engine.grid(whole, 0).sigmas[cut]
    arm = f"large:{cut}@{sigma!r}+large:{20 - cut}"
    parts = configuration_of(arm, engine.manifest, solver=solver, shared_grid=True)
    found = [engine.generate([PROMPT], [7], configuration).latents for configuration in (whole, parts)]
    assert torch.equal(*found)


@pytest.mark.parametrize("member", ["large", "small", "finisher"])
def test_every_member_loads_and_draws(engine: Engine, member: str) -> None:
    arm = "large:3@1.3+finisher:3" if member == "finisher" else f"{member}:3"
    assert engine.generate([PROMPT], [7], arm).images.float().std() > 1
