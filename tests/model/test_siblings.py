"""Distilled U-Nets as members of their teachers' families: exact, each from a folder of its own, in relays of three."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler, UNet2DConditionModel
from torch import Tensor

from rise_contracts.errors import InvalidInput
from rise_contracts.model import Solver
from rise_contracts.resources import ModelFamily
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.run import Step
from rise_stage.engine.schedules import as_float32
from tests.model.conftest import folder_of
from tests.model.tiny import KINDS
from tests.model.tiny_unets import LAYOUTS, edit, family_of_siblings, parameters

BOUND = 1e-5
PROMPT, NEGATIVE, SEED = "a red dot", "bad", 5
STOCK: dict[Solver, Any] = {"euler": EulerDiscreteScheduler, "dpmpp_2m": DPMSolverMultistepScheduler}
SIBLINGS = [name for name in LAYOUTS if name not in ("sd", "sdxl")]
XL = ("sdxl", "ssd-1b", "vega")
SD = ("sd", "bk-sdm-base", "bk-sdm-tiny")
ORDERS = [*itertools.permutations(XL), *itertools.permutations(SD)]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    folder = tmp_path_factory.mktemp("siblings")
    return {large: Engine.load(family_of_siblings(folder, large)) for large in ("sd", "sdxl")}


def of(engines: dict[str, Engine], name: str) -> Engine:
    return engines[LAYOUTS[name].architecture]


def network_of(family: ModelFamily, name: str) -> Any:
    member = family.member(name)
    assert member is not None
    source = member.source or family.spec.base
    return UNet2DConditionModel.from_pretrained(source.path, subfolder="unet")


def stock(family: ModelFamily, name: str, scheduler: Any) -> Any:
    """The base's stock pipeline with the U-Net and the scheduler's options of a member."""
    member = family.member(name)
    assert member is not None
    pipeline = KINDS[family.spec.architecture].from_pretrained(folder_of(family), unet=network_of(family, name))
    path = (member.source or family.spec.base).path
    pipeline.scheduler = scheduler.from_pretrained(path, subfolder="scheduler")
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def theirs(pipeline: Any, steps: int, guidance: float, **options: Any) -> Tensor:
    latents: Tensor = pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(SEED),
        output_type="latent",
        **options,
    ).images
    return latents


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_has_as_many_parameters_as_is_published(name: str) -> None:
    assert parameters(name) / 1e6 == pytest.approx(LAYOUTS[name].millions, abs=1)


@pytest.mark.parametrize("solver", STOCK)
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_sibling_alone_is_the_stock_pipeline_with_its_unet(
    name: str, solver: Solver, engines: dict[str, Engine]
) -> None:
    engine = of(engines, name)
    pipeline = stock(engine.manifest, name, STOCK[solver])
    for steps, guidance in ((6, 1.0), (5, 7.5)):
        configuration = configuration_of(f"{name}:{steps}", engine.manifest, solver=solver, guidance=[guidance])
        found = engine.generate([PROMPT], [SEED], configuration, negative=NEGATIVE).latents
        assert float((found - theirs(pipeline, steps, guidance)).abs().max()) <= BOUND, (steps, guidance)


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_sibling_cut_anywhere_is_the_sibling_uncut(name: str, engines: dict[str, Engine]) -> None:
    engine = of(engines, name)
    whole = engine.generate([PROMPT], [SEED], configuration_of(f"{name}:4", engine.manifest, solver="unipc")).latents
    sigmas = engine.grid(configuration_of(f"{name}:4", engine.manifest, solver="unipc"), 0).sigmas
    for cut in (1, 2, 3):
        arm = f"{name}:{cut}@{sigmas[cut]!r}+{name}:{4 - cut}"
        parts = configuration_of(arm, engine.manifest, solver="unipc", shared_grid=True)
        assert torch.equal(engine.generate([PROMPT], [SEED], parts).latents, whole)


class Relay:
    """The stock pipeline with one scheduler for all, whose U-Net and guidance are changed between two steps."""

    def __init__(self, family: ModelFamily, order: tuple[str, ...], guidance: tuple[float, ...], steps: int) -> None:
        self._networks = [network_of(family, name) for name in order]
        self._guidance, self._steps = guidance, steps

    def __call__(self, pipeline: Any, index: int, timestep: object, tensors: dict[str, Any]) -> dict[str, Any]:
        stage, rest = divmod(index + 1, self._steps)
        if rest or stage == len(self._networks):
            return tensors
        guided = pipeline.do_classifier_free_guidance
        pipeline.unet, pipeline._guidance_scale = self._networks[stage], self._guidance[stage]
        if guided and not pipeline.do_classifier_free_guidance:
            rows = {name: value for name, value in tensors.items() if name != "latents"}
            tensors |= {name: value.chunk(2)[1] for name, value in rows.items()}
        return tensors


@pytest.mark.parametrize("order", ORDERS)
def test_a_relay_of_three_in_any_order_is_the_stock_pipeline_with_its_unet_changed(
    order: tuple[str, str, str], engines: dict[str, Engine]
) -> None:
    """Large to small, and small first; guidance differs from stage to stage, and the last one has none."""
    engine, guidance, steps = of(engines, order[0]), (7.5, 3.0, 1.0), 2
    whole = configuration_of(f"{order[0]}:{3 * steps}", engine.manifest, grid="leading")
    cuts = [engine.grid(whole, 0).sigmas[index * steps] for index in (1, 2)]
    arm = f"{order[0]}:{steps}@{cuts[0]!r}+{order[1]}:{steps}@{cuts[1]!r}+{order[2]}:{steps}"
    shared = configuration_of(arm, engine.manifest, guidance=guidance, grid="leading", shared_grid=True)
    base = LAYOUTS[order[0]].architecture
    pipeline = stock(engine.manifest, base, EulerDiscreteScheduler)
    relay = Relay(engine.manifest, order, guidance, steps)
    pipeline.unet = network_of(engine.manifest, order[0])
    inputs = ["latents", "prompt_embeds"] + (["add_text_embeds", "add_time_ids"] if base == "sdxl" else [])
    wanted = theirs(
        pipeline,
        3 * steps,
        guidance[0],
        callback_on_step_end=relay,
        callback_on_step_end_tensor_inputs=inputs,
    )
    found = engine.generate([PROMPT], [SEED], shared, negative=NEGATIVE).latents
    assert float((found - wanted).abs().max()) <= BOUND


@pytest.mark.parametrize("order", [XL, XL[::-1], SD, SD[::-1]])
def test_unequal_steps_of_three_members_meet_at_the_exact_levels(
    order: tuple[str, str, str], engines: dict[str, Engine]
) -> None:
    engine = of(engines, order[0])
    arm = f"{order[0]}:2@3.5+{order[1]}:5@0.9+{order[2]}:3"
    configuration = configuration_of(arm, engine.manifest, guidance=(7.5, 9.0, 1.0))
    seen: list[tuple[int, Step]] = []
    made = engine.generate(
        [PROMPT], [SEED], configuration, negative=NEGATIVE, on_step=lambda stage, step: seen.append((stage, step))
    )
    ends = {stage: step.sigma for stage, step in seen}
    assert [sum(stage == index for stage, _ in seen) for index in range(3)] == [2, 5, 3]
    assert ends == {0: as_float32(3.5), 1: as_float32(0.9), 2: 0.0}
    assert torch.isfinite(made.latents).all()


def test_the_tail_without_guidance_makes_one_pass_per_picture(engines: dict[str, Engine]) -> None:
    engine = engines["sdxl"]
    guided, plain = (engine.encode([PROMPT], scale, NEGATIVE) for scale in (7.5, 1.0))
    assert (guided.hidden.shape[0], plain.hidden.shape[0]) == (2, 1)
    assert (guided.guidance, plain.guidance) == (7.5, None)


def test_a_siblings_autoencoder_may_leave_out_what_is_a_default(tmp_path: Path) -> None:
    """SD 1.4 is published without its scaling factor, which is the default, and its siblings with it."""
    family = family_of_siblings(tmp_path, "sd")
    for name, factor in (("sd", None), ("bk-sdm-tiny", 0.18215), ("bk-sdm-base", 0.13025)):
        edit(tmp_path / name / "vae" / "config.json", scaling_factor=factor)
    engine = Engine.load(family, ["bk-sdm-tiny"])
    assert math.isclose(engine.family.latent.scaling_factor, 0.18215)
    with pytest.raises(InvalidInput, match=r"bk-sdm-base.*scaling_factor 0.13025 instead of 0.18215"):
        engine.member("bk-sdm-base")
