"""Loading a family: what is missing or does not fit is one line that names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from rise_contracts.errors import InvalidInput, RiseError, UnknownName
from rise_contracts.resources import LatentContract, Member, ModelFamily, Source
from rise_stage.engine import Engine
from tests.model.conftest import folder_of
from tests.model.tiny import manifest


@pytest.fixture
def folder(sd: ModelFamily, tmp_path: Path) -> Path:
    """A copy of the tiny family that a test may break."""
    return Path(shutil.copytree(folder_of(sd), tmp_path / "copy"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def drop_a_weight(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors.pop(min(tensors))
    save_file(tensors, path, metadata={"format": "pt"})


def truncate(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


def truncate_vae(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def lose_a_shard(folder: Path) -> None:
    UNet2DConditionModel.from_pretrained(folder, subfolder="unet").save_pretrained(
        folder / "unet", max_shard_size="50KB"
    )
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink(missing_ok=True)
    max((folder / "unet").glob("*.safetensors")).unlink()


def pickle_only(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no VAE": (lambda folder: shutil.rmtree(folder / "vae"), "a folder 'vae'"),
    "no tokenizer": (lambda folder: shutil.rmtree(folder / "tokenizer"), "a folder 'tokenizer'"),
    "no weights": (lambda folder: (folder / "text_encoder" / "model.safetensors").unlink(), "model.safetensors"),
    "only pickles": (pickle_only, "not safetensors are not read"),
    "half-written weights": (truncate, "is the folder whole"),
    "a half-written VAE": (truncate_vae, "is the folder whole"),
    "a shard that is lost": (lose_a_shard, "is the folder whole"),
    "a weight left out": (drop_a_weight, "1 missing_keys"),
    "no configuration": (lambda folder: (folder / "unet" / "config.json").unlink(), "config.json"),
    "a configuration cut short": (lambda folder: (folder / "unet" / "config.json").write_text("{"), "JSON file"),
    "no scheduler": (lambda folder: shutil.rmtree(folder / "scheduler"), "scheduler_config.json"),
    "a prediction of another kind": (
        lambda folder: edit(folder / "scheduler" / "scheduler_config.json", prediction_type="flow_prediction"),
        "flow_prediction",
    ),
    "latents of other channels": (lambda folder: edit(folder / "unet" / "config.json", in_channels=9), "in_channels 9"),
    "another text encoder": (
        lambda folder: edit(folder / "unet" / "config.json", cross_attention_dim=99),
        "cross_attention_dim 99 instead of 32",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_that_is_not_whole_is_refused_in_one_line(case: str, folder: Path) -> None:
    damage, wanted = BROKEN[case]
    damage(folder)
    with pytest.raises(InvalidInput) as caught:
        Engine.load(manifest(folder), ["large"])
    assert wanted in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nowhere"):
        Engine.load(manifest(tmp_path / "nowhere"))


def test_an_unknown_member_is_answered_with_the_nearest(sd_engine: Engine) -> None:
    with pytest.raises(UnknownName, match="did you mean 'finisher'"):
        sd_engine.member("finnisher")


def test_an_unknown_built_in_family_is_refused() -> None:
    family = manifest(Path("unused"))
    spec = family.spec.model_copy(update={"base": Source(builtin="rise-shape")})
    with pytest.raises(UnknownName, match="did you mean 'rise-shapes'"):
        Engine.load(family.model_copy(update={"spec": spec}))


def foreign(sd: ModelFamily, path: Path) -> ModelFamily:
    """The family with one more member, from a folder of its own."""
    members = (*sd.spec.members, Member(name="foreign", source=Source(path=str(path))))
    return sd.model_copy(update={"spec": sd.spec.model_copy(update={"members": members})})


def test_a_member_of_another_folder_is_taken_where_its_latents_are_the_familys(sd: ModelFamily, folder: Path) -> None:
    engine = Engine.load(foreign(sd, folder), ["foreign", "large"])
    made = [engine.generate(["a"], [1], f"{name}:2").latents for name in ("foreign", "large")]
    assert torch.equal(*made)


def test_a_member_trained_on_other_latents_is_refused_with_what_differs(sd: ModelFamily, folder: Path) -> None:
    edit(folder / "vae" / "config.json", scaling_factor=0.5)
    with pytest.raises(InvalidInput, match=r"latent contract.*scaling_factor 0.5 instead of 0.7"):
        Engine.load(foreign(sd, folder), ["foreign"])


def test_a_member_may_predict_otherwise_than_its_family(sd: ModelFamily, folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", prediction_type="epsilon")
    engine = Engine.load(foreign(sd, folder))
    assert engine.member("foreign").prediction == "epsilon"
    assert engine.member("large").prediction == "v_prediction"


def test_an_sdxl_member_must_know_the_pooled_text(sdxl: ModelFamily, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder_of(sdxl), tmp_path / "copy"))
    edit(copy / "unet" / "config.json", projection_class_embeddings_input_dim=64)
    with pytest.raises(InvalidInput, match="projection_class_embeddings_input_dim 80"):
        Engine.load(manifest(copy, "sdxl"), ["large"])


def test_an_sd_folder_is_no_sdxl_family(sd: ModelFamily) -> None:
    with pytest.raises(RiseError, match="tokenizer_2"):
        Engine.load(manifest(folder_of(sd), "sdxl"))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"caption_channels": 64}, "caption_channels 64 instead of 32"),
        ({"out_channels": 6}, "out_channels 4, or 8 with a learned variance"),
        ({"use_additional_conditions": True}, "PixArt-Alpha's are, and are not served"),
        ({"use_additional_conditions": None, "sample_size": 128}, "use_additional_conditions false"),
    ],
)
def test_a_pixart_member_that_does_not_fit_is_refused(
    changes: dict[str, Any], wanted: str, pixart: ModelFamily, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder_of(pixart), tmp_path / "copy"))
    edit(copy / "transformer" / "config.json", **changes)
    with pytest.raises(InvalidInput) as caught:
        Engine.load(manifest(copy, "pixart"), ["large"])
    assert wanted in str(caught.value)


def test_padding_is_not_attended_to(pixart: ModelFamily, pixart_engine: Engine, tmp_path: Path) -> None:
    """An encoder that pads to more makes the same pictures, but for rounding."""
    copy = Path(shutil.copytree(folder_of(pixart), tmp_path / "copy"))
    edit(copy / "tokenizer" / "tokenizer_config.json", model_max_length=40)
    longer = Engine.load(manifest(copy, "pixart"), ["large"])
    padded, plain = (engine.generate(["a red dot"], [1], "large:2").latents for engine in (longer, pixart_engine))
    assert torch.allclose(padded, plain, atol=1e-5)


def test_a_manifest_must_be_right_about_its_latents(sd: ModelFamily, sd_engine: Engine) -> None:
    right = LatentContract(channels=4, downscale=4, scaling_factor=0.7, digest=sd_engine.latent_contract)
    for stated, fits in ((right, True), (right.model_copy(update={"channels": 16}), False)):
        family = sd.model_copy(update={"spec": sd.spec.model_copy(update={"latent": stated})})
        if fits:
            assert Engine.load(family).latent_contract == right.digest
        else:
            with pytest.raises(InvalidInput, match="correct the family's manifest"):
                Engine.load(family)


def test_the_latent_contract_is_a_function_of_the_vae_alone(sd_engine: Engine, sdxl_engine: Engine) -> None:
    """Both tiny families have one and the same VAE."""
    assert sd_engine.latent_contract == sdxl_engine.latent_contract
    assert len(sd_engine.latent_contract) == 64


def test_members_beyond_the_memory_limit_leave_and_come_back(sd: ModelFamily) -> None:
    engine = Engine.load(sd, memory_limit=1)
    first = engine.generate(["a"], [1], "large:2").latents
    engine.member("small")
    assert engine.loaded == ("small",)
    assert torch.equal(engine.generate(["a"], [1], "large:2").latents, first)


def test_a_finisher_does_not_begin_nor_take_more_noise_than_it_knows(sd_engine: Engine) -> None:
    for arm in ("finisher:4", "large:2@5+finisher:4"):
        with pytest.raises(InvalidInput, match=r"begin from pure noise|at most 2 for member finisher"):
            sd_engine.generate(["a"], [1], arm)


def test_sizes_that_latents_cannot_have_are_refused(sd_engine: Engine) -> None:
    with pytest.raises(InvalidInput, match="multiples of 4"):
        sd_engine.size(66, 64)
    assert sd_engine.latent_shape(sd_engine.size(96, 48)) == (4, 12, 24)


def test_a_prompt_is_encoded_once(sd_engine: Engine) -> None:
    first = sd_engine.encode(["a very particular dot"])
    assert torch.equal(first.hidden, sd_engine.encode(["a very particular dot"]).hidden)
    assert sd_engine.encode(["a", "b"], 5.0, "c").hidden.shape[0] == 4


def only_variant(folder: Path, kind: Any, subfolder: str, **shards: str) -> None:
    """Leave a component in half precision only, under the name that diffusers users know it by."""
    model = kind.from_pretrained(folder, subfolder=subfolder).half()
    for path in (folder / subfolder).glob("*.safetensors"):
        path.unlink()
    model.save_pretrained(folder / subfolder, variant="fp16", **shards)


@pytest.mark.parametrize("shards", [{}, {"max_shard_size": "60KB"}])
def test_a_variant_is_read_for_the_whole_family(shards: dict[str, str], folder: Path) -> None:
    for kind, name in ((UNet2DConditionModel, "unet"), (AutoencoderKL, "vae"), (CLIPTextModel, "text_encoder")):
        only_variant(folder, kind, name, **shards)
    family = manifest(folder, base=Source(path=str(folder), variant="fp16"))
    engine = Engine.load(family, ["large"])
    assert torch.isfinite(engine.generate(["a"], [1], "large:2").latents).all()
    with pytest.raises(InvalidInput, match=r"diffusion_pytorch_model\.safetensors in"):
        Engine.load(manifest(folder))


def test_a_member_of_a_folder_of_its_own_may_be_of_another_variant(sd: ModelFamily, folder: Path) -> None:
    only_variant(folder, UNet2DConditionModel, "unet")
    members = (
        *sd.spec.members,
        Member(name="half", source=Source(path=str(folder), variant="fp16")),
        Member(name="whole", source=Source(path=str(folder))),
    )
    engine = Engine.load(sd.model_copy(update={"spec": sd.spec.model_copy(update={"members": members})}), ["half"])
    made = [engine.generate(["a"], [1], f"{name}:2").latents for name in ("half", "large")]
    assert 0 < (made[0] - made[1]).abs().max() < 0.05
    with pytest.raises(InvalidInput, match=r"diffusion_pytorch_model\.safetensors in"):
        engine.member("whole")


def test_half_precision_weights_load_as_what_is_asked_for(sd: ModelFamily, folder: Path) -> None:
    UNet2DConditionModel.from_pretrained(folder, subfolder="unet").half().save_pretrained(folder / "unet")
    engine = Engine.load(manifest(folder), ["large"])
    assert engine.member("large").dtype == torch.float32
    assert torch.isfinite(engine.generate(["a"], [1], "large:2").latents).all()
