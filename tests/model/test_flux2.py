"""FLUX.2: members that read prompts with text encoders of their own, in one latent space."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline
from safetensors.torch import load_file, save_file
from torch import Tensor

from rise_contracts.errors import InvalidInput
from rise_contracts.messages import JobRequest, StageTask
from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, RelayJobSpec, Source
from rise_runtime.seam import Handoff, Identity, Pictures, StageContext
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.engine import handed_over
from rise_stage.engine.images import to_png
from rise_stage.engine.run import Step
from rise_stage.engine.schedules import as_float32
from rise_stage.handler import Handler
from tests.model import tiny_chat, tiny_flow, tiny_flux2
from tests.model.conftest import folder_of

PROMPT, NEGATIVE, SEEDS, BOUND = "a red dot", "bad", (5, 6), 1e-5


def save_klein(folder: Path, **options: Any) -> Path:
    tiny_flux2.klein(tiny_flow.scheduler_of("flux2"), **options).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="module")
def klein_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_klein(tmp_path_factory.mktemp("klein") / "klein", layers=1)


@pytest.fixture
def copy(klein_folder: Path, tmp_path: Path) -> Path:
    """A copy of klein that a test may break."""
    return Path(shutil.copytree(klein_folder, tmp_path / "copy"))


def family_of(base: Path, **members: Path) -> ModelFamily:
    """dev in the base folder, and members in folders of their own."""
    others = tuple(Member(name=name, source=Source(path=str(path)), tier="device") for name, path in members.items())
    known = (Member(name="dev"), *others)
    spec = ModelFamilySpec(architecture="flux2", base=Source(path=str(base)), members=known)
    return ModelFamily(metadata=Metadata(name="flux2"), spec=spec)


@pytest.fixture(scope="module")
def engine(flux2: ModelFamily, klein_folder: Path) -> Engine:
    return Engine.load(family_of(folder_of(flux2), klein=klein_folder), ["dev", "klein"])


def stock(folder: Path) -> Any:
    pipeline = Flux2KleinPipeline.from_pretrained(folder, use_safetensors=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def ours(engine: Engine, member: str, steps: int, guidance: float, negative: str = "") -> Tensor:
    configuration = configuration_of(f"{member}:{steps}", engine.manifest, guidance=[guidance])
    conditioning = engine.encode([PROMPT], guidance, negative, member=member).rows(len(SEEDS))
    *_, last = engine.run(member, conditioning, engine.noise(SEEDS), engine.grid(configuration, 0))
    return last.x


def theirs(pipeline: Any, steps: int, guidance: float, negative: str = "") -> Tensor:
    made = tiny_flux2.call(
        pipeline,
        PROMPT,
        num_inference_steps=steps,
        guidance_scale=guidance,
        num_images_per_prompt=len(SEEDS),
        negative_prompt_embeds=pipeline.encode_prompt(negative)[0] if negative else None,
        generator=[torch.Generator().manual_seed(seed) for seed in SEEDS],
        output_type="latent",
    )
    latents: Tensor = made.images
    return latents


@pytest.mark.parametrize(("steps", "guidance", "negative"), [(7, 1.0, ""), (10, 4.0, ""), (5, 3.0, NEGATIVE)])
def test_klein_is_the_stock_pipelines_beside_another_base(
    steps: int, guidance: float, negative: str, engine: Engine, klein_folder: Path
) -> None:
    wanted = theirs(stock(klein_folder), steps, guidance, negative)
    assert float((ours(engine, "klein", steps, guidance, negative) - wanted).abs().max()) <= BOUND


def test_a_distilled_klein_is_not_guided(flux2: ModelFamily, tmp_path: Path) -> None:
    folder = save_klein(tmp_path / "distilled", distilled=True)
    engine = Engine.load(family_of(folder_of(flux2), klein=folder))
    wanted = theirs(stock(folder), 4, 4.0)
    assert float((ours(engine, "klein", 4, 4.0) - wanted).abs().max()) <= BOUND
    assert engine.encode([PROMPT], 4.0, member="klein").guidance is None


def test_pictures_are_those_of_the_stock_pipeline(klein_folder: Path) -> None:
    engine = Engine.load(family_of(klein_folder))
    wanted = tiny_flux2.call(
        stock(klein_folder),
        PROMPT,
        num_inference_steps=4,
        guidance_scale=1.0,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).images
    difference = engine.generate([PROMPT], [5], "dev:4").images.int() - torch.from_numpy((wanted * 255).round()).int()
    assert int(difference.abs().max()) <= 1


def test_each_member_reads_the_prompt_with_its_own_encoder(engine: Engine, klein_folder: Path) -> None:
    """Both encoders are of one width here: a mistake would not be seen by shapes."""
    dev, klein = (engine.encode([PROMPT], member=name).hidden for name in ("dev", "klein"))
    assert dev.shape == klein.shape
    assert float((dev - klein).abs().max()) > 0.1
    assert torch.equal(klein, stock(klein_folder).encode_prompt(PROMPT)[0])
    assert torch.equal(engine.encode([PROMPT]).hidden, dev)


def test_a_text_is_encoded_without_the_denoiser_and_without_the_other_encoder(
    flux2: ModelFamily, klein_folder: Path
) -> None:
    engine = Engine.load(family_of(folder_of(flux2), klein=klein_folder))
    engine.encode([PROMPT], member="klein")
    assert [part.name for part in engine.memory] == ["text_encoder"]
    engine.encode([PROMPT], member="dev")
    assert [part.name for part in engine.memory] == ["text_encoder", "text_encoder"]


def test_a_relay_is_dev_and_then_klein_each_with_its_own_encoder(engine: Engine, klein_folder: Path) -> None:
    """The tail is what an engine makes that has never seen dev's text encoder."""
    configuration = configuration_of("dev:4@1.2+klein:3", engine.manifest, guidance=[4.0, 2.0])
    seen: list[tuple[int, Step]] = []
    whole = engine.generate([PROMPT], [3], configuration, on_step=lambda stage, step: seen.append((stage, step)))
    heads = [step for stage, step in seen if stage == 0]
    assert heads[-1].sigma == pytest.approx(1.2, rel=1e-6)
    alone = Engine.load(family_of(klein_folder))
    grid = engine.grid(configuration, 1, heads[-1].sigma)
    latent = handed_over(heads[-1].latent, configuration, 0)
    *_, last = alone.run("dev", alone.encode([PROMPT], 2.0), latent, grid)
    assert torch.equal(last.x, whole.latents)


def test_a_worker_encodes_for_the_member_of_its_stage(engine: Engine) -> None:
    handler = Handler([engine.manifest], lambda family: engine)
    arm = "dev:2@1.2+klein:2"
    spec = RelayJobSpec(family="flux2", prompt=PROMPT)
    head = StageTask(
        job_id="job-1",
        attempt=1,
        stage_index=0,
        request=JobRequest(job_id="job-1", spec=spec, seed=7, accepted_at=0.0),
        configuration=configuration_of(arm, engine.manifest),
    )
    context = StageContext(Identity("w", "edge", "edge"), 1, lambda *_: None)
    sent = handler(head, b"", context)
    assert isinstance(sent, Handoff)
    assert sent.header.shape == (1, 16, 8, 8)
    made = handler(head.model_copy(update={"stage_index": 1, "handoff": sent.header}), sent.payload, context)
    assert isinstance(made, Pictures)
    assert made.pictures[0].png == to_png(engine.generate([PROMPT], [7], arm).images[0])


@pytest.mark.parametrize(("head", "tail"), [(1, 1), (2, 7), (6, 3)])
def test_dev_and_klein_meet_at_the_exact_sigma(head: int, tail: int, engine: Engine) -> None:
    configuration = configuration_of(f"dev:{head}@1.2+klein:{tail}", engine.manifest)
    first = engine.grid(configuration, 0)
    second = engine.grid(configuration, 1, first.end)
    assert (first.start, second.start, second.end) == (math.inf, first.end, 0)
    assert as_float32(first.end) == pytest.approx(1.2, rel=1e-6)
    assert (first.steps, second.steps) == (head, tail)


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_cut_run_of_klein_is_the_uncut_one(cut: int, engine: Engine) -> None:
    whole = configuration_of("klein:6", engine.manifest, guidance=[4.0])
    sigma = engine.grid(whole, 0).sigmas[cut]
    arm = f"klein:{cut}@{sigma!r}+klein:{6 - cut}"
    parts = configuration_of(arm, engine.manifest, guidance=[4.0, 4.0], shared_grid=True)
    made = [engine.generate([PROMPT], [3], each, negative=NEGATIVE).latents for each in (whole, parts)]
    assert torch.equal(*made)


def test_a_negative_prompt_is_refused_for_the_member_that_takes_none(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="negativePrompt: wanted none, for member dev"):
        engine.encode([PROMPT], 4.0, NEGATIVE, member="dev")
    assert engine.encode([PROMPT], 4.0, NEGATIVE, member="klein").hidden.shape[0] == 2


def test_a_member_without_an_encoder_of_its_own_takes_the_bases(flux2: ModelFamily, copy: Path) -> None:
    shutil.rmtree(copy / "text_encoder")
    engine = Engine.load(family_of(folder_of(flux2), klein=copy), ["dev", "klein"])
    dev, klein = (engine.encode([PROMPT], member=name).hidden for name in ("dev", "klein"))
    assert torch.equal(dev, klein)


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def other_statistics(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    save_file({**tensors, "bn.running_var": tensors["bn.running_var"] * 2}, path, metadata={"format": "pt"})


def no_statistics(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if name != "bn.running_mean"}
    save_file(tensors, path, metadata={"format": "pt"})


def shallow(folder: Path) -> None:
    model, _ = tiny_chat.qwen3(layers=26)
    model.save_pretrained(folder / "text_encoder", safe_serialization=True)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "another autoencoder": (
        lambda folder: edit(folder / "vae" / "config.json", batch_norm_eps=0.5),
        "the latent contract of its family, got 'batch_norm_eps 0.5 instead of 0.0001'",
    ),
    "other statistics of latents": (other_statistics, "batch norm statistics"),
    "no statistics of latents": (no_statistics, "bn.running_mean in"),
    "a text encoder of another kind": (
        lambda folder: edit(folder / "text_encoder" / "config.json", model_type="llama"),
        "model_type mistral3 or qwen3",
    ),
    "a text encoder that is too shallow": (shallow, "num_hidden_layers 27 or more"),
    "a tokenizer without a chat template": (
        lambda folder: (folder / "tokenizer" / "chat_template.jinja").unlink(),
        "a chat template",
    ),
    "no tokenizer": (lambda folder: shutil.rmtree(folder / "tokenizer"), "a folder 'tokenizer'"),
    "no model index": (lambda folder: (folder / "model_index.json").unlink(), "model_index.json"),
    "a denoiser for another text encoder": (
        lambda folder: edit(folder / "transformer" / "config.json", joint_attention_dim=64),
        "joint_attention_dim 64 instead of 48",
    ),
    "a denoiser of other latents": (
        lambda folder: edit(folder / "transformer" / "config.json", in_channels=64),
        "in_channels 64 instead of 16",
    ),
    "a denoiser that answers with other latents": (
        lambda folder: edit(folder / "transformer" / "config.json", out_channels=32),
        "out_channels 32 instead of 16",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_member_that_does_not_fit_is_refused_in_one_line(case: str, flux2: ModelFamily, copy: Path) -> None:
    damage, wanted = BROKEN[case]
    damage(copy)
    with pytest.raises(InvalidInput) as caught:
        Engine.load(family_of(folder_of(flux2), klein=copy), ["klein"])
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_latent_is_two_by_two_cells_in_one(engine: Engine) -> None:
    latent = engine.family.latent
    assert (latent.channels, latent.downscale, latent.packing) == (16, 8, "2x2")
    assert engine.latent_shape(engine.size(96, 48)) == (16, 6, 12)
    with pytest.raises(InvalidInput, match="multiples of 8"):
        engine.size(68, 64)


def test_the_statistics_are_part_of_the_latent_contract(flux2: ModelFamily, engine: Engine, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder_of(flux2), tmp_path / "copy"))
    other_statistics(copy)
    assert Engine.load(family_of(copy)).latent_contract != engine.latent_contract


def test_klein_may_have_a_scheduler_of_its_own(flux2: ModelFamily, copy: Path) -> None:
    edit(copy / "scheduler" / "scheduler_config.json", use_dynamic_shifting=False, shift=1.0)
    engine = Engine.load(family_of(folder_of(flux2), klein=copy), ["dev", "klein"])
    plain = engine.grid(configuration_of("klein:4", engine.manifest), 0)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=1.0)
    scheduler.set_timesteps(sigmas=[1.0, 0.75, 0.5, 0.25])
    assert plain.timesteps == pytest.approx([float(t) for t in scheduler.timesteps])
    assert engine.grid(configuration_of("dev:4", engine.manifest), 0).timesteps[1] > plain.timesteps[1]
