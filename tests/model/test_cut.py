"""A run cut in two: bit-equal with one member on both sides, at the exact sigma with two."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from rise_contracts.configuration import Configuration
from rise_contracts.model import Grid as GridKind
from rise_contracts.model import Solver, WireDtype
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.engine import handed_over
from rise_stage.engine.run import Step
from rise_stage.engine.schedules import as_float32
from tests.model.conftest import folder_of
from tests.model.one_side import CUTS, ON_A_FLOW, SOLVERS, STEPS, cut_at, served, uncut
from tests.model.tiny import FLOWS

PROMPT = "a red dot"


@pytest.mark.parametrize("guidance", [1.0, 5.0])
@pytest.mark.parametrize(
    ("architecture", "solver"),
    [*itertools.product(("sd", "sdxl", "pixart"), SOLVERS), *itertools.product(FLOWS, ON_A_FLOW)],
)
def test_a_cut_run_is_the_uncut_run_at_every_position(
    architecture: str, solver: Solver, guidance: float, request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    whole = engine.generate([PROMPT], [3], uncut(engine.manifest, solver), guidance=guidance).latents
    for cut in CUTS:
        parts = engine.generate([PROMPT], [3], cut_at(engine, cut, solver), guidance=guidance).latents
        assert torch.equal(parts, whole), cut


@pytest.mark.parametrize("kind", ["trailing", "karras", "logsnr", "beta"])
@pytest.mark.parametrize(
    ("architecture", "solver"), [*itertools.product(("sd",), SOLVERS), *itertools.product(("sd3",), ON_A_FLOW)]
)
def test_a_run_cut_anywhere_on_any_grid_is_the_uncut_run(
    architecture: str, solver: Solver, kind: GridKind, request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    whole = engine.generate([PROMPT], [3], uncut(engine.manifest, solver, kind)).latents
    plain = engine.generate([PROMPT], [3], uncut(engine.manifest, solver)).latents
    for cut in CUTS:
        assert torch.equal(engine.generate([PROMPT], [3], cut_at(engine, cut, solver, kind)).latents, whole), cut
    assert torch.isfinite(whole).all()
    assert torch.equal(whole, plain) == (architecture == "sd" and kind == "trailing"), "that is how the family is"


def test_a_run_cut_in_three_is_the_uncut_run(sd_engine: Engine) -> None:
    sigmas = sd_engine.grid(uncut(sd_engine.manifest, "dpmpp_2m"), 0).sigmas
    arm = f"large:2@{sigmas[2]!r}+large:1@{sigmas[3]!r}+large:{STEPS - 3}"
    parts = configuration_of(arm, sd_engine.manifest, solver="dpmpp_2m", shared_grid=True)
    whole = sd_engine.generate([PROMPT], [3], uncut(sd_engine.manifest, "dpmpp_2m"))
    assert torch.equal(sd_engine.generate([PROMPT], [3], parts).latents, whole.latents)


@pytest.mark.parametrize("architecture", ["sd", "sd3"])
def test_head_and_tail_in_two_processes_are_the_uncut_run(
    architecture: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """One process makes every head and writes the wire's bytes, the next makes every tail from them."""
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    for side in ("head", "tail"):
        command = [
            sys.executable,
            "-m",
            "tests.model.one_side",
            side,
            architecture,
            str(folder_of(engine.manifest)),
            str(tmp_path),
        ]
        subprocess.run(command, check=True, timeout=300)
    for solver in served(engine):
        whole = engine.generate([PROMPT], [3], uncut(engine.manifest, solver)).latents
        made = load_file(tmp_path / f"{solver}.safetensors")
        assert sorted(made) == sorted(str(cut) for cut in CUTS)
        for cut, latents in made.items():
            assert torch.equal(latents, whole), (solver, cut)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(("head", "tail"), [(1, 1), (2, 7), (6, 3), (5, 20)])
def test_unequal_steps_meet_at_the_exact_sigma(solver: Solver, head: int, tail: int, sd_engine: Engine) -> None:
    seen: list[tuple[int, Step]] = []
    configuration = configuration_of(f"large:{head}@1.2+small:{tail}", sd_engine.manifest, solver=solver)
    sd_engine.generate([PROMPT], [3], configuration, on_step=lambda stage, step: seen.append((stage, step)))
    heads = [step for stage, step in seen if stage == 0]
    tails = [step for stage, step in seen if stage == 1]
    assert (len(heads), len(tails)) == (head, tail)
    assert heads[-1].sigma == as_float32(1.2)
    assert tails[-1].sigma == 0


@pytest.mark.parametrize("architecture", FLOWS)
@pytest.mark.parametrize(("head", "tail"), [(2, 7), (5, 3)])
def test_flow_members_of_different_size_meet_at_the_exact_sigma(
    architecture: str, head: int, tail: int, request: pytest.FixtureRequest
) -> None:
    engine: Engine = request.getfixturevalue(f"{architecture}_engine")
    configuration = configuration_of(f"large:{head}@1.2+small:{tail}", engine.manifest)
    first = engine.grid(configuration, 0)
    second = engine.grid(configuration, 1, first.end)
    assert (first.start, second.start, second.end) == (math.inf, first.end, 0)
    assert (first.steps, second.steps) == (head, tail)
    assert torch.isfinite(engine.generate([PROMPT], [3], configuration).latents).all()


def test_an_equal_grid_by_index_would_hand_over_at_the_wrong_level(sd_engine: Engine) -> None:
    """What matching by index costs: the level of step 3 of 6 is not that of step 10 of 20."""
    coarse = sd_engine.grid(configuration_of("large:6", sd_engine.manifest), 0).sigmas[4]
    fine = sd_engine.grid(configuration_of("large:20", sd_engine.manifest), 0).sigmas[13]
    assert abs(coarse / fine - 1) > 0.01


def test_memory_goes_to_the_same_member_only(sd_engine: Engine) -> None:
    for tail, wanted in (("large", True), ("small", False)):
        configuration = configuration_of(f"large:3@1.2+{tail}:3", sd_engine.manifest, solver="dpmpp_2m")
        assert handed(sd_engine, configuration) is wanted


@pytest.mark.parametrize(("dtype", "bound"), [("fp32", 0.0), ("fp16", 5e-3), ("bf16", 4e-2), ("q8", 4e-2)])
def test_fewer_bits_on_the_wire_cost_a_bounded_difference(dtype: WireDtype, bound: float, sd_engine: Engine) -> None:
    exact = final(sd_engine, "fp32")
    assert float((final(sd_engine, dtype) - exact).abs().max()) <= bound


def test_a_row_does_not_depend_on_its_neighbours(sd_engine: Engine) -> None:
    prompts, seeds = ["a red dot", "a blue dot", "two dots"], [3, 4, 5]
    together = sd_engine.generate(prompts, seeds, "large:4@1.2+small:4").latents
    for row in range(3):
        alone = sd_engine.generate([prompts[row]], [seeds[row]], "large:4@1.2+small:4").latents
        assert torch.allclose(together[row], alone[0], atol=1e-4)


def final(engine: Engine, dtype: WireDtype) -> Tensor:
    configuration = configuration_of("large:4@1.2+small:4", engine.manifest, wire_dtype=dtype)
    return engine.generate([PROMPT], [3], configuration).latents


def handed(engine: Engine, configuration: Configuration) -> bool:
    conditioning = engine.encode([PROMPT])
    *_, last = engine.run("large", conditioning, engine.noise([3]), engine.grid(configuration, 0), "dpmpp_2m")
    assert last.latent.past is not None
    return handed_over(last.latent, configuration, 0).past is not None
