"""The small parts: caches, noise, pace, timings, pictures, hashes, settings, graphs."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from rise_contracts.errors import UnknownName
from rise_stage.engine.denoiser import Denoiser
from rise_stage.engine.images import to_pixels, to_png
from rise_stage.engine.latent_contract import contract_of, differences, latent_digest, vae_settings
from rise_stage.engine.levels import level_of
from rise_stage.engine.lru import Lru
from rise_stage.engine.noise import SEED_LIMIT, image_seeds, unit_noise
from rise_stage.engine.traced import MOST_GRAPHS, OFTEN, Traced
from rise_stage.pace import Pace
from rise_stage.timing import Timings
from tests.unit.stage.builders import noise


@dataclass(frozen=True)
class Weight:
    name: str
    nbytes: int = 10


class TestLru:
    @given(wanted=st.lists(st.sampled_from("abcdef"), max_size=60), limit=st.integers(1, 60))
    def test_it_never_holds_more_than_its_limit_and_always_the_last(self, wanted: list[str], limit: int) -> None:
        cache = Lru(Weight, limit)
        for name in wanted:
            assert cache.get(name).name == name
            assert cache.nbytes <= max(limit, 10)
            assert list(cache)[-1] == name

    def test_the_least_recently_used_leaves_first(self) -> None:
        cache = Lru(Weight, 20)
        for name in ("a", "b", "a", "c"):
            cache.get(name)
        assert list(cache) == ["a", "c"]

    def test_without_a_limit_everything_stays_and_is_loaded_once(self) -> None:
        loads: list[str] = []

        def load(name: str) -> Weight:
            loads.append(name)
            return Weight(name)

        cache = Lru(load)
        for name in "abcab":
            cache.get(name)
        assert loads == ["a", "b", "c"]
        assert len(cache) == 3

    def test_what_fails_to_load_is_not_kept(self) -> None:
        def fail(name: str) -> Weight:
            raise UnknownName("member", name, [])

        cache = Lru(fail)
        with pytest.raises(UnknownName):
            cache.get("a")
        assert len(cache) == 0


class TestNoise:
    def test_each_row_is_what_a_stock_pipeline_draws_for_its_seed(self) -> None:
        drawn = unit_noise([5, 6], (4, 8, 8))
        for row, seed in enumerate((5, 6)):
            alone = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(seed))
            assert torch.equal(drawn[row : row + 1], alone)

    def test_a_video_has_noise_in_every_frame(self) -> None:
        drawn = unit_noise([5], (4, 3, 8, 8))
        assert torch.equal(drawn, torch.randn((1, 4, 3, 8, 8), generator=torch.Generator().manual_seed(5)))

    @given(seed=st.integers(0, SEED_LIMIT - 1), images=st.integers(1, 16))
    def test_the_seeds_of_a_job_differ_and_stay_in_range(self, seed: int, images: int) -> None:
        seeds = image_seeds(seed, images)
        assert seeds[0] == seed
        assert len(set(seeds)) == images
        assert all(0 <= each < SEED_LIMIT for each in seeds)

    def test_the_ambient_random_state_is_neither_read_nor_moved(self) -> None:
        torch.manual_seed(1)
        before = torch.get_rng_state()
        unit_noise([3], (4, 8, 8))
        assert torch.equal(before, torch.get_rng_state())


def test_guidance_weighs_negative_against_positive() -> None:
    def network(rows: Tensor, timesteps: Tensor, conditioning: float) -> Tensor:
        assert rows.shape[0] == timesteps.shape[0] == 4
        return torch.cat([torch.zeros_like(rows[:2]), torch.full_like(rows[2:], conditioning)])

    denoiser = Denoiser(network, "sample", 2.0, guidance=7.5)
    found = denoiser(noise(), level_of(torch.tensor(1.0)), torch.zeros(2), "vp")
    assert torch.equal(found.clean, torch.full_like(found.clean, 15.0))


def test_without_guidance_each_row_is_computed_once() -> None:
    seen = []

    def network(rows: Tensor, timesteps: Tensor, conditioning: None) -> Tensor:
        seen.append(rows.shape[0])
        return rows

    Denoiser(network, "epsilon", None)(noise(), level_of(torch.tensor(1.0)), torch.zeros(2), "ve")
    assert seen == [2]


class TestTraced:
    @pytest.fixture
    def network(self) -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 4, 3)).eval().requires_grad_(False)

    def test_a_graph_is_bit_equal_to_its_network(self, network: nn.Module) -> None:
        traced = Traced(network, network, enabled=True)
        traced.trace(torch.zeros(2, 4, 8, 8))
        with torch.inference_mode():
            assert torch.equal(traced(noise()), network(noise()))

    def test_other_shapes_go_around_the_graph(self, network: nn.Module) -> None:
        traced = Traced(network, network, enabled=True)
        traced.trace(torch.zeros(1, 4, 8, 8))
        with torch.inference_mode():
            assert torch.equal(traced(noise()), network(noise()))

    def test_shapes_that_come_often_get_a_graph_with_the_same_answer(self, network: nn.Module) -> None:
        calls = []

        def call(x: Tensor) -> Tensor:
            calls.append(1)
            return network(x)  # type: ignore[no-any-return]

        traced = Traced(network, call, enabled=True)
        with torch.inference_mode():
            answers = [traced(noise()) for _ in range(OFTEN + 20)]
        assert len(calls) < OFTEN + 20
        assert all(torch.equal(answer, answers[0]) for answer in answers)

    def test_shapes_that_take_turns_are_not_traced_at_every_turn(self, network: nn.Module) -> None:
        """One graph too many throws another out, which then has to come often again."""
        traced = Traced(network, network, enabled=True)
        made: list[int] = []
        for rows in range(1, MOST_GRAPHS + 2):
            traced.trace(torch.zeros(rows, 4, 4, 4))
        traced.trace = lambda *inputs: made.append(inputs[0].shape[0])  # type: ignore[method-assign]
        with torch.inference_mode():
            for _ in range(OFTEN):
                for rows in range(1, MOST_GRAPHS + 2):
                    traced(torch.zeros(rows, 4, 4, 4))
            assert made == []
            traced(torch.zeros(1, 4, 4, 4))
        assert made == [1]

    def test_what_cannot_be_traced_is_called_as_it_is(self, network: nn.Module) -> None:
        def call(x: Tensor) -> Tensor:
            if torch._C._get_tracing_state() is not None:
                raise RuntimeError("no graph of this")
            return x + 1

        traced = Traced(network, call, enabled=True)
        traced.trace(noise())
        assert torch.equal(traced(noise()), noise() + 1)


class TestPictures:
    def test_pixels_are_clamped_and_rounded(self) -> None:
        decoded = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]).view(1, 1, 1, 5).expand(1, 3, 1, 5)
        assert to_pixels(decoded)[0, 0, :, 0].tolist() == [0, 0, 128, 255, 255]

    def test_a_png_holds_the_very_pixels(self) -> None:
        pixels = torch.randint(0, 256, (8, 6, 3), dtype=torch.uint8)
        with Image.open(io.BytesIO(to_png(pixels))) as picture:
            assert picture.size == (6, 8)
            assert torch.equal(torch.tensor(list(picture.get_flattened_data())).view(8, 6, 3).to(torch.uint8), pixels)

    def test_a_video_is_an_animated_png_of_the_very_frames(self) -> None:
        frames = torch.randint(0, 256, (5, 8, 6, 3), dtype=torch.uint8)
        data = to_png(frames)
        assert data.startswith(b"\x89PNG\r\n\x1a\n")
        with Image.open(io.BytesIO(data)) as video:
            assert (video.n_frames, video.size, video.info["loop"]) == (5, (6, 8), 0)  # type: ignore[attr-defined]
            for index, frame in enumerate(frames):
                video.seek(index)
                assert torch.equal(_pixels_of(video), frame), index
                assert video.info["duration"] == 1000 / 16

    def test_a_video_of_one_frame_is_a_picture(self) -> None:
        pixels = torch.randint(0, 256, (8, 6, 3), dtype=torch.uint8)
        assert to_png(pixels[None]) == to_png(pixels)

    def test_frames_that_are_alike_are_shown_for_as_long(self) -> None:
        pixels = torch.randint(0, 256, (2, 8, 6, 3), dtype=torch.uint8)
        with Image.open(io.BytesIO(to_png(pixels[[0, 0, 0, 1]]))) as video:
            assert video.n_frames == 2  # type: ignore[attr-defined]
            assert video.info["duration"] == 3 * 1000 / 16
            video.seek(1)
            assert torch.equal(_pixels_of(video), pixels[1])

    def test_frames_stay_in_their_place(self) -> None:
        decoded = torch.rand(2, 3, 5, 4, 6) * 2 - 1
        found = to_pixels(decoded)
        assert found.shape == (2, 5, 4, 6, 3)
        assert torch.equal(found[1, 3], to_pixels(decoded[1:, :, 3])[0])


def _pixels_of(picture: Image.Image) -> Tensor:
    """(H, W, 3) of what is shown now."""
    return torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8).view(
        picture.height, picture.width, 3
    )


VAE = {"latent_channels": 4, "block_out_channels": (8, 8, 8), "scaling_factor": 0.2, "shift_factor": None}


class TestLatentContract:
    def test_it_is_read_from_the_vae(self) -> None:
        found = contract_of(VAE)
        assert (found.channels, found.downscale, found.scaling_factor, found.shift_factor) == (4, 4, 0.2, 0.0)

    def test_two_by_two_cells_in_one_are_read_from_that_of_flux2(self) -> None:
        found = contract_of({"latent_channels": 32, "block_out_channels": (8,) * 4, "batch_norm_eps": 1e-4})
        assert (found.channels, found.downscale, found.scaling_factor, found.packing) == (128, 16, 1.0, "2x2")

    def test_that_of_wan_says_its_factors(self) -> None:
        wan = {"z_dim": 16, "scale_factor_spatial": 8, "scale_factor_temporal": 4, "latents_std": [1.0] * 16}
        found = contract_of(wan)
        assert (found.channels, found.downscale, found.scaling_factor, found.packing) == (16, 8, 1.0, "none")
        assert differences(vae_settings(wan), vae_settings({**wan, "scale_factor_temporal": 8})) == [
            "scale_factor_temporal 8 instead of 4"
        ]

    def test_a_tensor_of_one_number_is_part_of_it(self) -> None:
        assert latent_digest(VAE, {"a": torch.tensor(1)}) != latent_digest(VAE, {"a": torch.tensor(2)})

    def test_half_precision_is_the_same_space(self) -> None:
        weights = {"a": torch.randn(3, 3), "b": torch.randn(2)}
        halves = {name: tensor.half() for name, tensor in reversed(weights.items())}
        assert latent_digest(VAE, weights) == latent_digest(VAE, halves)

    @pytest.mark.parametrize("change", [{"scaling_factor": 0.3}, {"latent_channels": 16}, {"shift_factor": 0.1}])
    def test_another_setting_is_another_space(self, change: dict[str, object]) -> None:
        assert latent_digest(VAE, {}) != latent_digest({**VAE, **change}, {})
        (difference,) = differences(vae_settings(VAE), vae_settings({**VAE, **change}))
        assert next(iter(change)) in difference

    def test_other_weights_are_another_space(self) -> None:
        assert latent_digest(VAE, {"a": torch.zeros(2)}) != latent_digest(VAE, {"a": torch.ones(2)})


def test_pace_follows_slowly() -> None:
    pace = Pace()
    pace.note("large", 1.0)
    assert pace.seconds_per_step == {"large": 1.0}
    pace.note("large", 2.0)
    assert pace.seconds_per_step["large"] == pytest.approx(1.2)


def test_company_is_no_part_of_the_pace_but_of_what_it_gains() -> None:
    pace = Pace()
    pace.note("small", 0.1, shared=True)
    assert (pace.seconds_per_step, pace.gain) == ({}, 1.0)
    pace.note("large", 1.0)
    pace.note("large", 0.4, shared=True)
    assert pace.seconds_per_step == {"large": 1.0}
    assert pace.gain == pytest.approx(2.5)
    pace.note("small", 0.2)
    assert pace.gain == pytest.approx(1.2 / 0.5)


def test_what_is_usual_is_the_mean_of_all_steps_and_a_hot_hour_does_not_make_it_another() -> None:
    pace = Pace()
    for seconds in (1.0, 2.0, 3.0):
        pace.note("large", seconds)
    assert pace.usual_seconds_per_step == {"large": pytest.approx(2.0)}
    for _ in range(1000):
        pace.note("small", 1.0)
    for _ in range(100):
        pace.note("small", 4.0)
    assert pace.seconds_per_step["small"] == pytest.approx(4.0)
    assert pace.usual_seconds_per_step["small"] < 1.6


def test_a_pace_ages_until_a_step_is_made_alone() -> None:
    now = [10.0]
    pace = Pace(lambda: now[0])
    pace.note("large", 1.0)
    now[0] = 70.0
    pace.note("small", 1.0)
    pace.note("large", 0.5, shared=True)
    assert pace.age_s == {"large": 60.0, "small": 0.0}
    pace.note("large", 1.0)
    assert pace.age_s["large"] == 0.0


def test_what_loading_takes_follows_the_last_loads() -> None:
    pace = Pace()
    assert pace.load_seconds == {}
    pace.note_load("large", 10.0)
    pace.note_load("large", 5.0)
    assert pace.load_seconds == {"large": pytest.approx(9.0)}


def test_seconds_of_one_part_may_be_anothers() -> None:
    timings = Timings()
    timings.move("denoise", "waited", 2.0)
    timings.seconds["denoise"] += 5.0
    assert timings.seconds == {"denoise": 3.0, "waited": 2.0}


def test_parts_that_come_twice_add_up() -> None:
    timings = Timings()
    for _ in range(2):
        with timings.part("decode"):
            pass
    assert list(timings.seconds) == ["decode"]
    assert timings.seconds["decode"] >= 0
