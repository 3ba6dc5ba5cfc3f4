"""Wan: videos, from the noise of every frame to the file."""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler
from PIL import Image
from torch import Tensor

from rise_contracts.errors import HandoffRefused, InvalidInput, Refusal
from rise_contracts.messages import JobRequest, StageTask
from rise_contracts.model import WireDtype
from rise_contracts.resources import LatentContract, Member, ModelFamily, RelayJobSpec, Source
from rise_runtime.seam import Handoff, Identity, Pictures, StageContext
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.images import to_png
from rise_stage.handler import Handler
from tests.model.conftest import folder_of
from tests.model.tiny import manifest, stock_pipeline

PROMPT, NEGATIVE, SEEDS, BOUND = "a red dot", "bad", (5, 6), 1e-5
RELAY = "large:2@1.2+small:3"


@pytest.fixture
def copy(wan: ModelFamily, tmp_path: Path) -> Path:
    """A copy of the tiny family that a test may break."""
    return Path(shutil.copytree(folder_of(wan), tmp_path / "copy"))


@pytest.fixture(scope="module")
def handler(wan_engine: Engine) -> Handler:
    return Handler([wan_engine.manifest], lambda family: wan_engine)


def context() -> StageContext:
    return StageContext(Identity("w", "edge", "edge"), 1, lambda *_: None)


def task(engine: Engine, index: int = 0, head: Handoff | None = None, arm: str = RELAY, **spec: Any) -> StageTask:
    wanted = RelayJobSpec.model_validate({"family": "tiny", "prompt": PROMPT, **spec})
    return StageTask(
        job_id="job-1",
        attempt=1,
        stage_index=index,
        request=JobRequest(job_id="job-1", spec=wanted, seed=7, accepted_at=0.0, preview=True),
        configuration=configuration_of(arm, engine.manifest),
        handoff=head.header if head else None,
    )


def frames_in(png: bytes) -> list[Tensor]:
    """Every frame of an animated PNG, (H, W, 3)."""
    found = []
    with Image.open(io.BytesIO(png)) as video:
        for index in range(video.n_frames):  # type: ignore[attr-defined]
            video.seek(index)
            raw = torch.frombuffer(bytearray(video.convert("RGB").tobytes()), dtype=torch.uint8)
            found.append(raw.view(video.height, video.width, 3))
    return found


@pytest.mark.parametrize(
    ("size", "frames", "guidance", "negative"),
    [((64, 64), 1, 1.0, ""), ((96, 48), 5, 5.0, NEGATIVE), ((32, 64), 13, 3.0, "")],
)
def test_videos_of_any_size_and_length_are_the_stock_pipelines(
    size: tuple[int, int], frames: int, guidance: float, negative: str, wan_engine: Engine
) -> None:
    engine, (width, height) = wan_engine, size
    configuration = configuration_of("large:6", engine.manifest)
    conditioning = engine.encode([PROMPT], guidance, negative, size).rows(2)
    noise = engine.noise(SEEDS, size, frames)
    *_, last = engine.run("large", conditioning, noise, engine.grid(configuration, 0, size=size))
    wanted = stock_pipeline(folder_of(engine.manifest), FlowMatchEulerDiscreteScheduler, "wan")(
        PROMPT,
        negative_prompt=negative or None,
        num_inference_steps=6,
        guidance_scale=guidance,
        num_images_per_prompt=2,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="latent",
        width=width,
        height=height,
        num_frames=frames,
    ).images
    assert last.x.shape == wanted.shape == (2, 4, (frames - 1) // 4 + 1, height // 8, width // 8)
    assert float((last.x - wanted).abs().max()) <= BOUND


PUBLISHED: dict[str, Any] = {
    "_class_name": "UniPCMultistepScheduler",
    "flow_shift": 5.0,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "solver_order": 2,
    "solver_type": "bh2",
    "timestep_spacing": "linspace",
    "final_sigmas_type": "zero",
    "lower_order_final": True,
    "beta_schedule": "linear",
}
"""What the real folders say of their scheduler."""


@pytest.mark.parametrize(("steps", "guidance", "negative"), [(3, 1.0, ""), (20, 5.0, NEGATIVE)])
def test_the_published_scheduler_is_walked_as_the_stock_pipeline_does(
    steps: int, guidance: float, negative: str, copy: Path
) -> None:
    (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps(PUBLISHED))
    engine = Engine.load(manifest(copy, "wan", solver="unipc"), ["large"])
    wanted = stock_pipeline(copy, UniPCMultistepScheduler, "wan", **PUBLISHED)(
        PROMPT,
        negative_prompt=negative or None,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).images
    found = engine.generate([PROMPT], [5], f"large:{steps}", guidance=guidance, negative=negative).latents
    assert float((found - wanted).abs().max()) <= BOUND


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_cut_run_with_the_published_scheduler_is_the_uncut_one(cut: int, copy: Path) -> None:
    (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps(PUBLISHED))
    engine = Engine.load(manifest(copy, "wan", solver="unipc"), ["large"])
    sigma = engine.grid(configuration_of("large:6", engine.manifest), 0).sigmas[cut]
    parts = configuration_of(f"large:{cut}@{sigma!r}+large:{6 - cut}", engine.manifest, shared_grid=True)
    made = [engine.generate([PROMPT], [3], each, guidance=5.0).latents for each in ("large:6", parts)]
    assert torch.equal(*made)


def test_a_prompt_is_cleaned_as_the_stock_pipeline_does(wan_engine: Engine) -> None:
    written = "  a &amp;amp; b \n\t dot\u00a0 "
    pipeline = stock_pipeline(folder_of(wan_engine.manifest), FlowMatchEulerDiscreteScheduler, "wan").args[0]
    wanted, _ = pipeline.encode_prompt(written, do_classifier_free_guidance=False, max_sequence_length=512)
    found = wan_engine.encode([written]).hidden
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.equal(found, wan_engine.encode(["a & b dot"]).hidden)


def test_a_relay_of_a_video_ends_as_an_animated_png(handler: Handler, wan_engine: Engine) -> None:
    head = handler(task(wan_engine), b"", context())
    assert isinstance(head, Handoff)
    assert head.header.shape == (1, 4, 3, 8, 8)
    tail = handler(task(wan_engine, 1, head), head.payload, context())
    assert isinstance(tail, Pictures)
    (video,) = tail.pictures
    assert (video.width, video.height, video.frames) == (64, 64, 9)
    alone = wan_engine.generate([PROMPT], [7], RELAY).images[0]
    assert alone.shape == (9, 64, 64, 3)
    assert video.png == to_png(alone)
    assert all(torch.equal(*pair) for pair in zip(frames_in(video.png), alone, strict=True))


def test_several_videos_of_a_length_that_is_asked_for(handler: Handler, wan_engine: Engine) -> None:
    head = handler(task(wan_engine, images=2, frames=5), b"", context())
    assert isinstance(head, Handoff)
    assert head.header.shape == (2, 4, 2, 8, 8)
    tail = handler(task(wan_engine, 1, head, images=2, frames=5), head.payload, context())
    assert isinstance(tail, Pictures)
    both = wan_engine.generate([PROMPT] * 2, [7, 8], RELAY, frames=5).images
    assert [(video.frames, video.png) for video in tail.pictures] == [(5, to_png(video)) for video in both]


def test_a_handoff_of_another_length_is_refused(handler: Handler, wan_engine: Engine) -> None:
    head = handler(task(wan_engine, frames=5), b"", context())
    assert isinstance(head, Handoff)
    with pytest.raises(HandoffRefused) as caught:
        handler(task(wan_engine, 1, head), head.payload, context())
    assert caught.value.refusal is Refusal.SHAPE


@pytest.mark.parametrize(("frames", "middle"), [(1, 0), (5, 0), (9, 4), (13, 4), (17, 8)])
def test_the_preview_is_the_middle_frame(frames: int, middle: int, wan_engine: Engine) -> None:
    """Without what comes after it, which is not decoded: only rounding may tell."""
    latents = wan_engine.noise([3], frames=frames)
    whole = wan_engine.decode(latents)
    assert whole.shape[1] == frames
    assert int((wan_engine.preview(latents)[0].int() - whole[0, middle].int()).abs().max()) <= 1


def test_a_handoff_shows_one_picture(handler: Handler, wan_engine: Engine) -> None:
    head = handler(task(wan_engine), b"", context())
    assert isinstance(head, Handoff)
    assert len(frames_in(head.preview)) == 1


@pytest.mark.parametrize("frames", [2, 8, 80])
def test_a_length_that_no_latent_has_is_refused(frames: int, handler: Handler, wan_engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="1 and a multiple of 4 more"):
        handler(task(wan_engine, frames=frames), b"", context())


def test_a_family_of_pictures_makes_no_video(sd_engine: Engine) -> None:
    handler = Handler([sd_engine.manifest], lambda family: sd_engine)
    with pytest.raises(InvalidInput, match="makes pictures, not videos"):
        handler(task(sd_engine, frames=9), b"", context())
    assert isinstance(handler(task(sd_engine, arm="large:2", frames=1), b"", context()), Pictures)


@pytest.mark.parametrize(("dtype", "bound"), [("fp32", 0.0), ("fp16", 5e-3), ("bf16", 4e-2), ("q8", 4e-2)])
def test_fewer_bits_on_the_wire_cost_a_bounded_difference(dtype: WireDtype, bound: float, wan_engine: Engine) -> None:
    exact, lossy = (
        wan_engine.generate([PROMPT], [3], configuration_of(RELAY, wan_engine.manifest, wire_dtype=each)).latents
        for each in ("fp32", dtype)
    )
    assert float((lossy - exact).abs().max()) <= bound


def test_a_run_may_begin_with_one_denoiser_of_a_folder_and_end_with_the_other(wan: ModelFamily, copy: Path) -> None:
    """Wan 2.2 A14B has two of a size, one for each end of the noise; its stock pipeline changes over at a level."""
    shutil.copytree(copy / "finisher" / "transformer", copy / "transformer_2")
    members = (Member(name="high"), Member(name="low", subfolder="transformer_2", sigma_max=20.0))
    engine = Engine.load(manifest(copy, "wan", members=members))
    configuration = configuration_of("high:2@7+low:3", engine.manifest)
    grids = [engine.grid(configuration, 0), engine.grid(configuration, 1, 7.0)]
    assert (grids[0].start, grids[1].end) == (math.inf, 0)
    assert torch.isfinite(engine.generate([PROMPT], [3], configuration).latents).all()
    with pytest.raises(InvalidInput, match="begin from pure noise"):
        engine.generate([PROMPT], [3], "low:4")


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def of_network(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "transformer" / "config.json", **changes)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no VAE": (lambda folder: shutil.rmtree(folder / "vae"), "config.json"),
    "no weights of the VAE": (
        lambda folder: (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink(),
        "diffusion_pytorch_model.safetensors in",
    ),
    "no tokenizer": (lambda folder: shutil.rmtree(folder / "tokenizer"), "a folder 'tokenizer'"),
    "no text encoder": (lambda folder: shutil.rmtree(folder / "text_encoder"), "a folder 'text_encoder'"),
    "no model index": (lambda folder: (folder / "model_index.json").unlink(), "model_index.json"),
    "Wan 2.2 of 5B": (lambda folder: edit(folder / "model_index.json", expand_timesteps=True), "expand_timesteps"),
    "another number of frames to one of the latent": (
        lambda folder: edit(folder / "vae" / "config.json", scale_factor_temporal=8),
        "scale_factor_temporal 4",
    ),
    "latents of other channels": (of_network(in_channels=36), "in_channels 36 instead of 4"),
    "another text encoder": (of_network(text_dim=99), "text_dim 99 instead of 32"),
    "other tokens": (of_network(patch_size=[2, 2, 2]), "patch_size [2, 2, 2] instead of [1, 2, 2]"),
    "one that begins with a picture": (of_network(image_dim=1280), "image_dim 1280 instead of None"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_that_does_not_fit_is_refused_in_one_line(case: str, copy: Path) -> None:
    damage, wanted = BROKEN[case]
    damage(copy)
    with pytest.raises(InvalidInput) as caught:
        Engine.load(manifest(copy, "wan"), ["large"])
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_member_trained_on_other_latents_is_refused_with_what_differs(wan: ModelFamily, copy: Path) -> None:
    edit(copy / "vae" / "config.json", latents_std=[1.0, 1.0, 1.0, 2.0])
    members = (*wan.spec.members, Member(name="foreign", source=Source(path=str(copy))))
    family = wan.model_copy(update={"spec": wan.spec.model_copy(update={"members": members})})
    with pytest.raises(InvalidInput, match=r"latent contract.*latents_std \[1.0, 1.0, 1.0, 2.0\] instead of"):
        Engine.load(family, ["foreign"])


def test_sizes_are_multiples_of_a_token(wan_engine: Engine) -> None:
    assert wan_engine.size() == (64, 64)
    assert wan_engine.latent_shape(wan_engine.size(96, 48), 17) == (4, 5, 6, 12)
    with pytest.raises(InvalidInput, match="multiples of 16"):
        wan_engine.size(96, 56)


def test_the_real_ones_make_what_the_stock_pipeline_does_by_default(copy: Path) -> None:
    """Their configuration says nothing of a size."""
    path = copy / "transformer" / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "sample_size"}))
    engine = Engine.load(manifest(copy, "wan", default_frames=None))
    assert (engine.size(), engine.frames()) == ((832, 480), 81)
    assert engine.latent_shape(engine.size()) == (4, 21, 60, 104)


def test_the_latent_contract_is_that_of_the_autoencoder(wan: ModelFamily, wan_engine: Engine, copy: Path) -> None:
    stated = LatentContract(channels=4, downscale=8, scaling_factor=1.0, digest=wan_engine.latent_contract)
    family = wan.model_copy(update={"spec": wan.spec.model_copy(update={"latent": stated})})
    assert Engine.load(family).latent_contract == stated.digest
    edit(copy / "vae" / "config.json", latents_mean=[0.0, 0.0, 0.0, 0.0])
    assert Engine.load(manifest(copy, "wan")).latent_contract != stated.digest


def test_precision_changes_nothing_of_the_latent_contract(wan: ModelFamily, wan_engine: Engine) -> None:
    half = Engine.load(wan, precision="bf16")
    assert half.latent_contract == wan_engine.latent_contract
    assert half.generate([PROMPT], [3], "large:2").images.shape == (1, 9, 64, 64, 3)
