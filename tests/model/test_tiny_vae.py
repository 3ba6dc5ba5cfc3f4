"""Previews, and pictures where a worker asks for it, come from a tiny autoencoder; stock pipelines agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderTiny, EulerDiscreteScheduler, FlowMatchEulerDiscreteScheduler

from rise_contracts.errors import InvalidInput
from rise_contracts.messages import JobRequest, StageTask
from rise_contracts.resources import ModelFamily, RelayJobSpec, Source
from rise_runtime.seam import Handoff, Identity, StageContext
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.images import to_png
from rise_stage.handler import Handler
from tests.model.conftest import folder_of
from tests.model.tiny import KINDS
from tests.model.tiny_preview import tiny_vae

STOCK: dict[str, Any] = {
    "sd": EulerDiscreteScheduler,
    "sdxl": EulerDiscreteScheduler,
    "sd3": FlowMatchEulerDiscreteScheduler,
}


def with_tiny(family: ModelFamily, path: Path, **source: Any) -> ModelFamily:
    tiny = Source(path=str(path), **source)
    return family.model_copy(update={"spec": family.spec.model_copy(update={"tiny_vae": tiny})})


def channels(family: ModelFamily) -> int:
    return Engine.load(family).family.latent.channels


@pytest.fixture(params=STOCK)
def family(request: pytest.FixtureRequest, tmp_path: Path) -> ModelFamily:
    found: ModelFamily = request.getfixturevalue(request.param)
    return with_tiny(found, tiny_vae(tmp_path / "tiny", channels(found)))


def test_pictures_are_the_stock_pipelines_with_the_tiny_autoencoder_in_it(family: ModelFamily) -> None:
    assert family.spec.tiny_vae is not None
    pipeline = KINDS[family.spec.architecture].from_pretrained(folder_of(family))
    pipeline.vae = AutoencoderTiny.from_pretrained(family.spec.tiny_vae.path)
    pipeline.scheduler = STOCK[family.spec.architecture].from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    longest: dict[str, Any] = {}
    if family.spec.architecture == "sd3":
        longest = {"max_sequence_length": pipeline.tokenizer_3.model_max_length}
    engine = Engine.load(family, tiny_vae=True)
    wanted = pipeline(
        "a red dot",
        height=engine.size()[1],
        width=engine.size()[0],
        num_inference_steps=3,
        guidance_scale=3.0,
        generator=[torch.Generator().manual_seed(7)],
        output_type="np",
        **longest,
    ).images
    found = engine.generate(["a red dot"], [7], "large:3", guidance=3.0).images
    assert (found.float() - torch.from_numpy(wanted * 255)).abs().max() <= 1
    assert found.float().std() > 1


def test_previews_alone_are_tiny_where_nothing_else_is_asked_for(family: ModelFamily) -> None:
    plain, previews, tiny = Engine.load(family), Engine.load(family), Engine.load(family, tiny_vae=True)
    latents = plain.noise([1])
    wanted = tiny.decode(latents)
    assert torch.equal(previews.preview(latents), wanted)
    assert [part.name for part in previews.memory] == ["tiny vae"]
    assert torch.equal(tiny.preview(latents), wanted)
    assert [part.name for part in tiny.memory] == ["tiny vae"]
    assert not torch.equal(plain.decode(latents), wanted)
    assert [part.name for part in plain.memory] == ["vae"]


def test_without_one_a_preview_is_the_picture(sd_engine: Engine) -> None:
    latents = sd_engine.noise([1])
    assert torch.equal(sd_engine.preview(latents), sd_engine.decode(latents))


def test_the_latent_contract_stays_that_of_the_true_autoencoder(sd: ModelFamily, tmp_path: Path) -> None:
    family = with_tiny(sd, tiny_vae(tmp_path / "tiny"))
    assert Engine.load(family, tiny_vae=True).latent_contract == Engine.load(sd).latent_contract


def test_its_own_scale_is_heeded(sd: ModelFamily, tmp_path: Path) -> None:
    """That of taesd and its like is 1: they take the denoiser's latents. But it is theirs to say."""
    plain, scaled = (
        Engine.load(with_tiny(sd, tiny_vae(tmp_path / f"{scale}", scaling_factor=scale)), tiny_vae=True)
        for scale in (1.0, 0.5)
    )
    latents = plain.noise([1])
    assert torch.equal(plain.decode(latents * 2), scaled.decode(latents))


def test_a_head_that_shows_a_preview_never_reads_the_true_autoencoder(sd: ModelFamily, tmp_path: Path) -> None:
    engine = Engine.load(with_tiny(sd, tiny_vae(tmp_path / "tiny")), decodes=False)
    spec = RelayJobSpec(family="tiny", prompt="a red dot")
    task = StageTask(
        job_id="job-1",
        attempt=1,
        stage_index=0,
        request=JobRequest(job_id="job-1", spec=spec, seed=7, accepted_at=0.0, preview=True),
        configuration=configuration_of("large:2@1.2+small:2", engine.manifest),
    )
    handler = Handler([engine.manifest], lambda family: engine)
    result = handler(task, b"", StageContext(Identity("w", "edge", "edge"), 1, lambda *_: None))
    assert isinstance(result, Handoff)
    assert sorted(part.name for part in engine.memory) == ["member large", "text_encoder", "tiny vae"]
    assert result.preview != to_png(engine.decode(engine.noise([1]))[0])


@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"channels": 16}, "latent_channels 16 instead of 4"), ({"blocks": 4}, "downscale 8 instead of 4")],
)
def test_one_of_other_latents_is_refused(options: dict[str, Any], wanted: str, sd: ModelFamily, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=wanted):
        Engine.load(with_tiny(sd, tiny_vae(tmp_path / "tiny", **options)))


def test_one_that_is_not_there_is_refused_at_once(sd: ModelFamily, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        Engine.load(with_tiny(sd, tmp_path / "nowhere"))
    with pytest.raises(InvalidInput, match=r"fp16\.safetensors"):
        Engine.load(with_tiny(sd, tiny_vae(tmp_path / "tiny"), variant="fp16"))


def test_a_worker_cannot_ask_for_what_its_family_does_not_name(sd: ModelFamily) -> None:
    with pytest.raises(InvalidInput, match=r"--tiny-vae.*spec.tinyVae"):
        Engine.load(sd, tiny_vae=True)
