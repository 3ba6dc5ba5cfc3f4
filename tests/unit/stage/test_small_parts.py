"""The small parts: caches, noise, pace, timings, pictures, hashes, settings, graphs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from rise_contracts.errors import InvalidInput, UnknownName
from rise_stage import manifests, settings
from rise_stage.engine.denoiser import Denoiser
from rise_stage.engine.images import to_pixels, to_png
from rise_stage.engine.latent_contract import contract_of, differences, latent_digest, vae_settings
from rise_stage.engine.levels import level_of
from rise_stage.engine.members import Lru
from rise_stage.engine.noise import SEED_LIMIT, image_seeds, unit_noise
from rise_stage.engine.traced import OFTEN, Traced
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


VAE = {"latent_channels": 4, "block_out_channels": (8, 8, 8), "scaling_factor": 0.2, "shift_factor": None}


class TestLatentContract:
    def test_it_is_read_from_the_vae(self) -> None:
        found = contract_of(VAE)
        assert (found.channels, found.downscale, found.scaling_factor, found.shift_factor) == (4, 4, 0.2, 0.0)

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


def test_parts_that_come_twice_add_up() -> None:
    timings = Timings()
    for _ in range(2):
        with timings.part("decode"):
            pass
    assert list(timings.seconds) == ["decode"]
    assert timings.seconds["decode"] >= 0


class TestSettings:
    def test_defaults_serve_the_embedded_family_at_the_edge(self) -> None:
        found = settings.read([], {})
        assert (found.identity.name, found.identity.tier, found.identity.pool) == ("edge-0", "edge", "edge")
        assert (found.families, found.threads, found.precision) == (("rise-shapes",), 1, "fp32")

    def test_flags_come_before_the_environment(self) -> None:
        environment = {"RISE_TIER": "device", "RISE_THREADS": "4", "RISE_NATS_TOKEN": "secret", "RISE_LABELS": "a=b"}
        found = settings.read(["--threads", "2", "--name", "phone", "--family", "f.yaml"], environment)
        assert (found.identity.tier, found.identity.pool, found.identity.name) == ("device", "device", "phone")
        assert (found.threads, found.token, found.families) == (2, "secret", ("f.yaml",))
        assert found.identity.labels == {"a": "b"}

    def test_nought_stands_for_no_limit(self) -> None:
        found = settings.read(["--threads", "0", "--memory-mib", "0"], {})
        assert (found.threads, found.memory_mib) == (None, None)

    def test_how_much_a_death_may_cost_is_chosen(self) -> None:
        assert settings.read([], {}).checkpoint_s == 2.0
        assert settings.read([], {"RISE_CHECKPOINT_S": "0.5"}).checkpoint_s == 0.5
        assert settings.read(["--checkpoint-s", "0"], {}).checkpoint_s == 0

    @pytest.mark.parametrize(
        "flags",
        [
            ["--tier", "cloud"],
            ["--threads", "-1"],
            ["--threads", "many"],
            ["--precision", "int4"],
            ["--label", "novalue"],
            ["--patience", "inf"],
            ["--checkpoint-s", "-1"],
            ["--checkpoint-s", "often"],
            ["--memory-mib", "1.5"],
            ["--name", "my.phone"],
            ["--name", "any"],
            ["--pool", "Edge Site"],
            ["--pool", ">"],
        ],
    )
    def test_a_value_out_of_range_is_one_line_about_its_flag(self, flags: list[str]) -> None:
        with pytest.raises(InvalidInput) as caught:
            settings.read(flags, {})
        assert flags[0] in str(caught.value)
        assert "\n" not in str(caught.value)


class TestManifests:
    MANIFEST = """
apiVersion: rise-relay.io/v1alpha1
kind: ModelFamily
metadata: {name: mine}
spec:
  base: {path: base}
  members:
    - {name: large}
    - {name: small, source: {path: ../other}, subfolder: unet}
"""

    def test_relative_paths_are_taken_from_the_manifests_folder(self, tmp_path: Path) -> None:
        path = tmp_path / "family.yaml"
        path.write_text(self.MANIFEST)
        family = manifests.read_family(str(path))
        small = family.member("small")
        assert family.spec.base.path == str(tmp_path / "base")
        assert small is not None
        assert small.source is not None
        assert small.source.path == str(tmp_path / "../other")

    def test_a_name_that_is_no_family_is_answered_with_the_nearest(self) -> None:
        with pytest.raises(UnknownName, match="did you mean 'rise-shapes'"):
            manifests.read_family("rise-shape")

    def test_a_manifest_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"none\.yaml"):
            manifests.read_family(str(tmp_path / "none.yaml"))
