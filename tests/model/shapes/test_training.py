"""Training: it resumes as if it had never stopped, and the whole recipe ends in a family that stock diffusers loads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import nn

from rise_shapes.training import denoisers, finishing, recipe
from rise_shapes.training.loop import Stage, load_averaged, run_stage
from rise_shapes.training.text import MAX_TOKENS, new_text_encoder, write_tokenizer


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


def test_every_word_is_one_token_and_an_unknown_word_is_some(tmp_path: Path) -> None:
    tokenizer = write_tokenizer(tmp_path)
    from rise_shapes import vocabulary

    assert {len(tokenizer(word).input_ids) for word in vocabulary()} == {3}
    assert len(tokenizer("zebra").input_ids) > 3
    assert tokenizer.model_max_length == MAX_TOKENS


def test_noise_is_drawn_where_a_member_is_trained() -> None:
    noise = denoisers.Noise(high=1.0)
    times = noise.draw(500, torch.Generator().manual_seed(0))
    assert noise.sigmas[times].max() <= 1.0
    assert denoisers.Noise().weights.sum() == pytest.approx(1.0, abs=1e-5)


def test_mixing_and_predicting_the_velocity_gives_the_clean_latent_back() -> None:
    noise = denoisers.Noise()
    x0, eps = torch.randn(3, 4, 16, 16), torch.randn(3, 4, 16, 16)
    for time in (5, 400, 990):
        mixed, velocity = noise.mix(x0, eps, torch.full((3,), time))

        class Oracle(nn.Module):
            def forward(self, *_: object, **__: object) -> tuple[torch.Tensor]:
                return (velocity,)  # noqa: B023 - called in this round of the loop only

        found = finishing.clean(Oracle(), mixed / noise.alphas[time], time, torch.zeros(()), noise)
        assert torch.allclose(found, x0, atol=2e-3)


def test_the_whole_recipe_in_miniature_makes_a_family_that_diffusers_loads(tmp_path: Path) -> None:
    recipe.run(tmp_path, list(recipe.ORDER), 0, "cpu", 0.001)
    folder = tmp_path / "weights"
    pipeline = StableDiffusionPipeline.from_pretrained(folder)
    image = pipeline("a red circle", num_inference_steps=2, guidance_scale=1.0, output_type="np").images
    assert image.shape == (1, 64, 64, 3)
    assert {file.parent.parent.name for file in folder.rglob("unet/*.safetensors")} == {
        folder.name,
        "small",
        "finisher",
    }
    assert sum(file.stat().st_size for file in folder.rglob("*.safetensors")) <= 40e6
    assert not list(folder.rglob("*.bin"))

    # The finished family is a place to go on from: what it starts with is what was exported.
    unet = denoisers.new_denoiser(denoisers.SHAPES["large"])
    recipe.go_on_from(unet, folder / "unet")
    assert all(torch.equal(p, q.float()) for p, q in zip(unet.parameters(), pipeline.unet.parameters(), strict=True))
    text = new_text_encoder(pipeline.text_encoder.config.vocab_size)
    recipe.go_on_from(text, folder / "text_encoder")
    assert all(torch.equal(p, q) for p, q in zip(text.parameters(), pipeline.text_encoder.parameters(), strict=True))
