"""Training: it resumes as if it had never stopped, and the whole recipe ends in a family that stock diffusers loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from diffusers import PixArtSigmaPipeline
from safetensors.torch import load_file, save_file
from torch import nn
from torch.multiprocessing.spawn import start_processes

from rise_shapes.grammar import caption, vocabulary
from rise_shapes.render import coverage
from rise_shapes.scene import COLOURS, RELATIONS
from rise_shapes.training import data, denoisers, finishing, recipe
from rise_shapes.training.loop import Stage, load_averaged, put, run_stage
from rise_shapes.training.muon import Muon, orthogonal
from rise_shapes.training.text import KINDS, MAX_TOKENS, listening_loss, new_text_encoder, write_tokenizer


def stage(steps: int) -> Stage:
    """A small regression with matrices and vectors, so that both optimisers have work."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 3))

    def loss(generator: torch.Generator) -> dict[str, torch.Tensor]:
        x = torch.randn(16, 6, generator=generator)
        return {"squares": (model(x) - x[:, :3]).square().mean()}

    return Stage("part", model, loss, steps, lr=1e-2, muon_lr=1e-2, warmup=1, decay=0.0)


def test_a_run_that_stopped_and_went_on_equals_one_that_never_stopped(tmp_path: Path) -> None:
    whole = run_stage(stage(6), tmp_path / "whole")
    run_stage(stage(2), tmp_path / "cut")
    resumed = run_stage(stage(6), tmp_path / "cut")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_training_lowers_the_loss_and_leaves_averaged_weights(tmp_path: Path) -> None:
    before = stage(0).loss(torch.Generator().manual_seed(1))["squares"].item()
    trained = stage(120)
    run_stage(trained, tmp_path)
    load_averaged(trained.model, tmp_path / "part")
    assert trained.loss(torch.Generator().manual_seed(1))["squares"].item() < 0.5 * before


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 5, 20), (2, 20, 5)])
def test_orthogonal_brings_all_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    singular = torch.linalg.svdvals(orthogonal(torch.randn(shape)))
    assert singular.min() > 0.5
    assert singular.max() < 1.4


def matrices() -> list[nn.Parameter]:
    """Parameters of several shapes with gradients, always the same."""
    torch.manual_seed(2)
    made = [nn.Parameter(torch.randn(shape)) for shape in ((4, 6), (4, 6), (4, 6), (7, 3), (5, 5))]
    for parameter in made:
        parameter.grad = torch.randn_like(parameter)
    return made


def updated(rank: int, world: int, folder: str) -> None:
    """Two Muon steps in one of ``world`` processes; the first writes what became of the matrices."""
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=world)
    parameters = matrices()
    muon = Muon(parameters, lr=0.1)
    muon.step()
    muon.step()
    if world > 1:
        dist.destroy_process_group()
    if rank == 0:
        save_file({str(i): p.detach() for i, p in enumerate(parameters)}, f"{folder}/{world}.safetensors")


def test_two_processes_share_an_update_and_get_what_one_gets(tmp_path: Path) -> None:
    updated(0, 1, str(tmp_path))
    start_processes(updated, (2, str(tmp_path)), nprocs=2, start_method="spawn")
    alone, shared = (load_file(tmp_path / f"{world}.safetensors") for world in (1, 2))
    assert all(torch.allclose(alone[name], shared[name], atol=1e-5) for name in alone)
    assert not torch.allclose(alone["0"], matrices()[0])


def test_an_update_in_bfloat16_is_nearly_that_in_float32() -> None:
    whole, halves = matrices(), matrices()
    before = [p.detach().clone() for p in whole]
    Muon(whole, lr=0.1).step()
    Muon(halves, lr=0.1, dtype=torch.bfloat16).step()
    for was, one, other in zip(before, whole, halves, strict=True):
        moved, apart = (one - was).norm(), (one - other).norm()
        assert 0 < apart < 0.1 * moved


def test_parameters_are_put_under_their_names_or_refused() -> None:
    module, other = nn.Linear(2, 3), nn.Linear(2, 3)
    put(module, {name: p.detach() for name, p in other.named_parameters()})
    assert torch.equal(module.weight, other.weight)
    with pytest.raises(KeyError, match="bias is in one only"):
        put(module, {"weight": other.weight.detach()})


def test_every_word_is_one_token_and_an_unknown_word_is_some(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path)
    assert {len(tokenizer(word).input_ids) for word in vocabulary()} == {2}
    assert len(tokenizer("zebra").input_ids) > 2
    assert tokenizer.unk_token_id not in tokenizer("zebra").input_ids
    assert tokenizer.model_max_length == MAX_TOKENS
    longest = max((caption(item.scene) for item in data.scenes(1, 200)), key=lambda text: len(text.split()))
    assert len(tokenizer(longest).input_ids) <= MAX_TOKENS


def test_what_a_caption_means_is_found_in_it(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path)
    placed = data.scenes(5, 60)
    tokens = tokenizer([caption(item.scene) for item in placed], padding="max_length", return_tensors="pt").input_ids
    covers, traits = data.meanings(placed)
    ids = [torch.tensor([tokenizer(words).input_ids[0] for words in group]) for group in (COLOURS, RELATIONS)]
    named, roles = data.named(tokens, covers, traits, ids[0]), data.roles(tokens, ids[1])
    for row, item in enumerate(placed):
        words = caption(item.scene).split()
        colours = [thing.colour for thing in item.scene.things]
        assert [words[place] for place in named[row] if place >= 0] == colours
        if len(colours) == 1:
            assert roles[row].tolist() == [data.ALONE, data.ALONE]
            assert covers[row, 1].sum() == 0
        else:
            relation = RELATIONS.index(item.scene.relations[0])
            assert roles[row].tolist() == [relation, {0: 1, 1: 0, 2: 3, 3: 2}[relation]]


def test_what_covers_a_cell_sums_to_the_things_area() -> None:
    placed = data.scenes(6, 20)
    covers, _ = data.meanings(placed)
    for row, item in enumerate(placed):
        thing, centre = item.scene.things[0], item.centres[0]
        area = coverage(thing.shape, thing.size or "large", centre).sum()
        assert covers[row, 0].float().sum().item() / 255 * data.CELL**2 == pytest.approx(area, rel=0.03)


def meant(count: int) -> data.Batch:
    """A batch of true meanings."""
    placed = [item for item in data.scenes(7, 2 * count) if len(item.scene.things) == 2][:count]
    covers, traits = data.meanings(placed)
    named = torch.zeros(count, 2, dtype=torch.int64)
    roles = torch.tensor([[0, 1]]).expand(count, 2)
    none = torch.zeros(count)
    return data.Batch(none, none, covers.float() / 255, traits.long(), named, roles)


def test_the_reading_loss_is_least_for_what_is_there() -> None:
    batch = meant(8)
    ground = 1 - batch.covers.sum(1)
    parts = []
    for trait, options in enumerate(data.TRAITS):
        share = torch.zeros(8, data.CELLS, len(options) + 1)
        share[..., -1] = ground
        for which in (0, 1):
            index = batch.traits[:, which, trait][:, None, None].expand(8, data.CELLS, 1)
            share.scatter_add_(2, index, batch.covers[:, which, :, None])
        parts.append(share.clamp(min=1e-6).log())
    right = denoisers.reading_loss(torch.cat(parts, -1), batch.covers, batch.traits)
    wrong = denoisers.reading_loss(torch.cat([part.roll(1, 0) for part in parts], -1), batch.covers, batch.traits)
    flat = denoisers.reading_loss(
        torch.zeros(8, data.CELLS, sum(p.shape[-1] for p in parts)), batch.covers, batch.traits
    )
    assert right < flat < wrong
    entropy = sum(-(part.exp() * part).sum(-1).mean() for part in parts)
    assert right.item() == pytest.approx(float(entropy), abs=1e-3)


def test_the_listening_loss_is_least_for_what_was_said() -> None:
    batch = meant(8)
    place = (batch.covers / batch.covers.sum(-1, keepdim=True)).clamp(min=1e-6).log()
    wanted = (*batch.traits.unbind(-1), batch.roles)
    kinds = [20.0 * nn.functional.one_hot(answer, count) for answer, count in zip(wanted, KINDS, strict=True)]
    said = torch.cat([place, *kinds], -1)
    right, wrong = listening_loss(said, batch), listening_loss(said.roll(1, 0).flip(1), batch)
    assert right["kind"] < 1e-3 < wrong["kind"]
    assert right["place"] < wrong["place"]
    # What is not there is not asked for.
    absent = batch._replace(named=torch.full_like(batch.named, -1))
    assert listening_loss(said, absent)["place"] == 0


def test_noise_is_drawn_where_a_member_is_trained() -> None:
    noise = denoisers.Noise(high=1.0)
    times = noise.draw(500, torch.Generator().manual_seed(0))
    assert noise.sigmas[times].max() <= 1.0
    assert denoisers.Noise().weights.sum() == pytest.approx(1.0, abs=1e-5)


class Oracle(finishing.Guided):
    """Knows the velocity."""

    def __init__(self, answer: torch.Tensor) -> None:
        object.__setattr__(self, "answer", answer)

    def velocity(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.answer  # type: ignore[attr-defined]
        return answer


def test_mixing_and_predicting_the_velocity_gives_the_clean_latent_back() -> None:
    noise = denoisers.Noise()
    x0, eps = torch.randn(3, 4, 16, 16), torch.randn(3, 4, 16, 16)
    for time in (5, 400, 990):
        mixed, velocity = noise.mix(x0, eps, torch.full((3,), time))

        oracle = Oracle(velocity)
        found = finishing.clean(oracle, mixed / noise.alphas[time], time, noise)
        assert torch.allclose(found, x0, atol=2e-3)


def test_the_whole_recipe_in_miniature_makes_a_family_that_diffusers_loads(tmp_path: Path) -> None:
    # Two processes, as on any machine with two cores: they must meet at every step, whoever finds what is made first.
    asked = ("--out", str(tmp_path), "--scale", "0.001", "--processes", "2", "--device", "cpu")
    subprocess.run([sys.executable, "-m", "rise_shapes.training", *asked], check=True, timeout=600)
    folder = tmp_path / "weights"
    pipeline = PixArtSigmaPipeline.from_pretrained(folder)
    options = {"use_resolution_binning": False, "clean_caption": False, "max_sequence_length": MAX_TOKENS}
    image = pipeline("a red circle", num_inference_steps=2, guidance_scale=1.0, output_type="np", **options).images
    assert image.shape == (1, 64, 64, 3)
    assert {file.parent.parent.name for file in folder.rglob("transformer/*.safetensors")} == {
        folder.name,
        "small",
        "finisher",
    }
    assert sum(file.stat().st_size for file in folder.rglob("*.safetensors")) <= 40e6
    assert not list(folder.rglob("*.bin"))

    # The finished family is a place to go on from: what it starts with is what was exported.
    network = denoisers.new_denoiser(denoisers.SHAPES["large"])
    recipe.go_on_from(network, folder / "transformer")
    there = dict(pipeline.transformer.named_parameters())
    assert all(torch.equal(p, there[name].float()) for name, p in network.named_parameters())
    text = new_text_encoder(pipeline.text_encoder.config.vocab_size)
    recipe.go_on_from(text, folder / "text_encoder")
    there = dict(pipeline.text_encoder.named_parameters())
    assert all(torch.equal(p, there[name]) for name, p in text.named_parameters())
