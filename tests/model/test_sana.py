"""What is Sana's own: the instruction before a prompt, the latents of 32 to 1, and the members that fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import SanaPipeline

from rise_contracts.errors import InvalidInput
from rise_contracts.resources import LatentContract, ModelFamily
from rise_stage.engine import Engine
from rise_stage.engine.families.sana import INSTRUCTION, MOST_TOKENS
from tests.model.conftest import folder_of
from tests.model.tiny import manifest
from tests.model.tiny_text import WIDTH

PROMPT = "A Red Dot "


@pytest.fixture
def folder(sana: ModelFamily, tmp_path: Path) -> Path:
    """A copy of the tiny family that a test may break."""
    return Path(shutil.copytree(folder_of(sana), tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("negative", ["", "bad"])
def test_prompt_and_negative_prompt_are_encoded_as_the_stock_pipeline_does(sana_engine: Engine, negative: str) -> None:
    pipeline = SanaPipeline.from_pretrained(folder_of(sana_engine.manifest))
    hidden, mask, negative_hidden, negative_mask = pipeline.encode_prompt(
        PROMPT, True, negative, complex_human_instruction=INSTRUCTION.split("\n")
    )
    found = sana_engine.encode([PROMPT], 4.5, negative)
    assert found.mask is not None
    assert torch.equal(found.hidden, torch.cat([negative_hidden, hidden]))
    assert torch.equal(found.mask, torch.cat([negative_mask, mask]))
    assert found.hidden.shape == (2, MOST_TOKENS, WIDTH)


def test_the_instruction_stands_before_prompts_alone(sana_engine: Engine) -> None:
    prompt, negative = (sana_engine.encode(["bad"], 4.5, "bad").hidden[row] for row in (1, 0))
    assert not torch.allclose(prompt, negative)


def test_a_text_to_lead_away_from_is_encoded_once(sana_engine: Engine) -> None:
    positive = sana_engine.family.encode_text(PROMPT)
    first = sana_engine.family.negative_states("very bad", positive)
    assert sana_engine.family.negative_states("very bad", positive) is first


def test_the_latent_contract_is_that_of_the_autoencoder(sana: ModelFamily, sana_engine: Engine) -> None:
    right = LatentContract(channels=32, downscale=32, scaling_factor=0.41407, digest=sana_engine.latent_contract)
    stated = sana.model_copy(update={"spec": sana.spec.model_copy(update={"latent": right})})
    assert Engine.load(stated).latent_contract == right.digest
    assert sana_engine.size() == (128, 128)
    assert sana_engine.latent_shape((256, 128)) == (32, 4, 8)
    with pytest.raises(InvalidInput, match="multiples of 32"):
        sana_engine.size(144, 128)


def test_large_hands_over_to_small_at_another_size_and_back(sana_engine: Engine) -> None:
    """The two differ in width and depth; either may begin."""
    made = [sana_engine.generate([PROMPT], [3], arm) for arm in ("large:3@1.2+small:4", "small:3@1.2+large:4")]
    assert all(torch.isfinite(one.latents).all() for one in made)
    assert not torch.allclose(made[0].latents, made[1].latents)
    assert made[0].images.shape == (1, 128, 128, 3)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"in_channels": 16}, "in_channels 16 instead of 32"),
        ({"caption_channels": 64}, "caption_channels 64 instead of 32"),
        ({"out_channels": 48}, "out_channels 32, or 64 with a learned variance"),
        ({"guidance_embeds": True}, "Sana-Sprint's transformers are told the guidance"),
    ],
)
def test_a_member_that_does_not_fit_is_refused(changes: dict[str, Any], wanted: str, folder: Path) -> None:
    edit(folder / "transformer" / "config.json", **changes)
    with pytest.raises(InvalidInput) as caught:
        Engine.load(manifest(folder, "sana"), ["large"])
    assert wanted in str(caught.value)


def test_a_scheduler_of_another_kind_is_refused(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", use_flow_sigmas=False, prediction_type="epsilon")
    with pytest.raises(InvalidInput, match=r"member large scheduler.*or use_flow_sigmas.*DPMSolverMultistepScheduler"):
        Engine.load(manifest(folder, "sana"), ["large"])


@pytest.mark.parametrize(("precision", "shared"), [("fp16", torch.float32), ("bf16", torch.bfloat16)])
def test_in_half_precision_encoder_and_autoencoder_keep_their_range(
    precision: Any, shared: torch.dtype, sana: ModelFamily, sana_engine: Engine
) -> None:
    engine = Engine.load(sana, ["large"], precision=precision)
    assert engine.encode([PROMPT]).hidden.dtype == shared
    near = engine.generate([PROMPT], [3], "large:3").latents - sana_engine.generate([PROMPT], [3], "large:3").latents
    assert 0 < float(near.abs().max()) < 0.1
