"""Encoders, autoencoder and denoisers are each in memory only where a stage needs them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import torch
from diffusers import AutoencoderDC, AutoencoderKL
from safetensors.torch import load_file, save_file

from rise_contracts.resources import ModelFamily
from rise_stage.engine import Engine
from rise_stage.engine.arms import configuration_of
from rise_stage.engine.engine import Offload, Precision
from rise_stage.engine.latent_contract import latent_digest
from rise_stage.engine.parts import Memory, Part
from rise_stage.engine.run import Step
from rise_stage.handler import Handler, LoadEngine
from tests.model.conftest import folder_of
from tests.model.tiny import manifest

T = TypeVar("T")
BUFFERS = 8192
"""Bytes of the tables of positions, which no file holds."""
OFFLOADS: tuple[Offload, ...] = ("none", "encoders")
ENCODERS = {
    "sd": ["text_encoder"],
    "sdxl": ["text_encoder", "text_encoder_2"],
    "pixart": ["text_encoder"],
    "sd3": ["text_encoder", "text_encoder_2", "text_encoder_3"],
    "flux": ["text_encoder", "text_encoder_2"],
    "sana": ["text_encoder"],
}


@pytest.fixture(params=ENCODERS)
def family(request: pytest.FixtureRequest) -> ModelFamily:
    found: ModelFamily = request.getfixturevalue(request.param)
    return found


class Noting(Memory):
    """Notes what each part is said to weigh before it is read."""

    def __init__(self, said: dict[str, int]) -> None:
        super().__init__()
        self.said = said

    def take(self, part: Part[T]) -> T:
        self.said.setdefault(part.name, part.nbytes)
        return super().take(part)


def held(engine: Engine) -> list[str]:
    return [part.name for part in engine.memory]


def given(engine: Engine) -> LoadEngine:
    return lambda family: engine


def stage(engine: Engine, arm: str = "large:2", guidance: float = 5.0) -> Step:
    """The first stage of an arm, as a head computes it."""
    configuration = configuration_of(arm, engine.manifest)
    prompts = engine.encode(["a red dot"], guidance)
    grid = engine.grid(configuration, 0)
    steps = list(engine.run("large", prompts, engine.noise([1]), grid, configuration.solver))
    return steps[-1]


def test_opening_a_family_reads_no_weights(family: ModelFamily) -> None:
    engine = Engine.load(family)
    assert len(engine.latent_contract) == 64
    assert (held(engine), engine.memory.nbytes, engine.loaded) == ([], 0, ())


def test_a_head_reads_encoders_and_denoiser_and_only_a_tail_the_autoencoder(family: ModelFamily) -> None:
    engine = Engine.load(family)
    made = stage(engine)
    head = [*ENCODERS[family.spec.architecture], "member large"]
    assert sorted(held(engine)) == sorted(head)
    engine.decode(made.x)
    assert sorted(held(engine)) == sorted([*head, "vae"])
    assert engine.loaded == ("large",)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_files_say_a_part_weighs_is_what_it_weighs(family: ModelFamily, precision: Precision) -> None:
    said: dict[str, int] = {}
    engine = Engine.load(family, precision=precision, memory=Noting(said))
    engine.decode(stage(engine).x)
    for part in engine.memory:
        assert 0 <= part.nbytes - said[part.name] <= BUFFERS


def test_pictures_are_the_same_though_nothing_stays_in_memory(family: ModelFamily) -> None:
    roomy, tight = Engine.load(family), Engine.load(family, memory_limit=1)
    wanted = roomy.generate(["a red dot"], [1], "large:2").images
    assert torch.equal(tight.generate(["a red dot"], [1], "large:2").images, wanted)
    assert held(tight) == ["vae"]


def test_an_encoder_makes_room_for_the_denoiser_and_comes_back(family: ModelFamily) -> None:
    probe = Engine.load(family)
    stage(probe)
    weights = {part.name: part.nbytes for part in probe.memory}
    engine = Engine.load(family, memory_limit=max(weights.values()) + 1)
    stage(engine)
    assert engine.loaded == ("large",)
    assert engine.memory.nbytes <= max(weights.values()) + 1
    engine.encode(["a blue square"])
    assert held(engine)[-1] == ENCODERS[family.spec.architecture][-1]


def test_what_leaves_is_freed_at_once(family: ModelFamily) -> None:
    """No circle keeps a part alive until the garbage collector comes: what the books say is what is in memory."""
    engine = Engine.load(family, memory_limit=1)
    engine.decode(stage(engine).x)
    (vae,) = engine.memory
    assert engine.memory.nbytes == vae.nbytes


def test_engines_that_share_a_memory_share_its_limit(sd: ModelFamily, sdxl: ModelFamily) -> None:
    one = Engine.load(sd, memory_limit=1)
    other = Engine.load(sdxl, memory=one.memory)
    one.member("large")
    other.member("large")
    assert (one.loaded, other.loaded) == ((), ("large",))


def test_a_head_is_ready_without_an_autoencoder_and_a_tail_with_it(sd: ModelFamily) -> None:
    for decodes, wanted in ((False, []), (True, ["vae"])):
        engine = Engine.load(sd)
        engine.decodes = decodes
        handler = Handler([sd], given(engine))
        handler.prepare({"tiny": ["large"]})
        assert [name for name in held(engine) if name == "vae"] == wanted
        assert handler.status().members == ("large",)


def test_a_small_autoencoder_is_kept_ready_by_everyone(sd: ModelFamily) -> None:
    """It costs nothing to speak of, and the first job that a head makes alone does not wait for it."""
    assert Engine.load(sd, decodes=False).decodes


def test_offloading_where_there_is_no_accelerator_changes_nothing(family: ModelFamily) -> None:
    plain, offloading = (Engine.load(family, offload=offload) for offload in OFFLOADS)
    made = [engine.generate(["a red dot"], [1], "large:2").images for engine in (plain, offloading)]
    assert torch.equal(*made)
    assert (held(offloading), offloading.memory.nbytes) == (held(plain), plain.memory.nbytes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator with memory of its own")
def test_with_encoders_offloaded_only_the_denoiser_stays_on_the_accelerator(family: ModelFamily) -> None:
    plain, offloading = (Engine.load(family, device="cuda", offload=offload) for offload in OFFLOADS)
    wanted = plain.generate(["a red dot"], [1], "large:2").images
    assert torch.equal(offloading.generate(["a red dot"], [1], "large:2").images, wanted)
    assert held(offloading) == ["member large"]
    assert offloading.memory.nbytes < plain.memory.nbytes


def test_the_digest_of_the_files_is_that_of_the_autoencoder_in_memory(family: ModelFamily) -> None:
    kind = AutoencoderDC if family.spec.architecture == "sana" else AutoencoderKL
    vae = kind.from_pretrained(folder_of(family), subfolder="vae")
    assert Engine.load(family).latent_contract == latent_digest(vae.config, vae.state_dict())


def rename(folder: Path) -> None:
    """Attention as diffusers wrote it before version 0.12."""
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    tensors = {}
    for name, tensor in load_file(path).items():
        for new, before in old.items():
            name = name.replace(new, before)
        tensors[name] = tensor
    assert set(tensors) != set(load_file(path))
    save_file(tensors, path, metadata={"format": "pt"})


def halve(folder: Path) -> None:
    AutoencoderKL.from_pretrained(folder, subfolder="vae").half().save_pretrained(folder / "vae")


def shard(folder: Path) -> None:
    vae = AutoencoderKL.from_pretrained(folder, subfolder="vae")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    vae.save_pretrained(folder / "vae", max_shard_size="40KB")
    assert len(list((folder / "vae").glob("*.safetensors"))) > 1


@pytest.mark.parametrize("change", [rename, halve, shard])
def test_the_same_weights_in_other_files_are_the_same_latent_space(
    change: Callable[[Path], None], sd: ModelFamily, sd_engine: Engine, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder_of(sd), tmp_path / "copy"))
    change(copy)
    engine = Engine.load(manifest(copy))
    assert engine.latent_contract == sd_engine.latent_contract
    assert torch.isfinite(engine.decode(stage(engine).x).float()).all()


def test_other_weights_in_the_same_file_are_another_latent_space(
    sd: ModelFamily, sd_engine: Engine, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(folder_of(sd), tmp_path / "copy"))
    assert Engine.load(manifest(copy)).latent_contract == sd_engine.latent_contract
    path = copy / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["decoder.conv_in.bias"] += 1
    save_file(tensors, path, metadata={"format": "pt"})
    assert Engine.load(manifest(copy)).latent_contract != sd_engine.latent_contract
