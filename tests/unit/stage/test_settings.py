"""What a worker is started with, and the manifests that it reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_contracts import termination
from rise_contracts.errors import InvalidInput, UnknownName
from rise_stage import manifests, settings
from rise_stage.app import main
from rise_stage.serving import slots_of


class TestSettings:
    def test_defaults_serve_the_embedded_family_at_the_edge(self) -> None:
        found = settings.read([], {})
        assert (found.identity.name, found.identity.tier, found.identity.pool) == ("edge-0", "edge", "edge")
        assert (found.families, found.threads, found.precision) == (("rise-shapes",), 1, "fp32")

    def test_flags_come_before_the_environment(self) -> None:
        environment = {"RISE_TIER": "device", "RISE_THREADS": "4", "RISE_NATS_TOKEN": "secret", "RISE_LABELS": "a=b"}
        found = settings.read(["--threads", "2", "--name", "phone", "--family", "f.yaml"], environment)
        assert (found.identity.tier, found.identity.pool, found.identity.name) == ("device", "device", "phone")
        assert (found.threads, found.access.token, found.families) == (2, "secret", ("f.yaml",))
        assert found.identity.labels == {"a": "b"}

    def test_a_worker_may_be_there_for_one_job(self) -> None:
        assert settings.read([], {}).identity.dedicated == ""
        assert settings.read([], {"RISE_DEDICATED": "job-1"}).identity.dedicated == "job-1"
        assert settings.read(["--dedicated", "job-2"], {"RISE_DEDICATED": "job-1"}).identity.dedicated == "job-2"

    def test_a_device_may_be_somebodys_own(self) -> None:
        assert not settings.read(["--tier", "device"], {}).identity.private
        assert settings.read(["--tier", "device", "--private"], {}).identity.private
        assert settings.read(["--tier", "device"], {"RISE_PRIVATE": "1"}).identity.private
        with pytest.raises(InvalidInput, match="the edge works for everybody"):
            settings.read(["--private"], {})

    def test_families_of_the_bus_are_named_beside_manifests(self) -> None:
        found = settings.read(["--family", "f.yaml"], {"RISE_FAMILIES": "bus:tiny,rise-shapes"})
        assert found.families == ("bus:tiny", "rise-shapes", "f.yaml")

    def test_nought_stands_for_no_limit(self) -> None:
        found = settings.read(["--threads", "0", "--memory-mib", "0", "--batch-memory-mib", "0", "--slots", "0"], {})
        assert (found.threads, found.memory_mib, found.batch_memory_mib, found.slots) == (None, None, None, None)

    def test_slots_and_the_memory_of_a_batch_are_read(self) -> None:
        found = settings.read(["--slots", "4"], {"RISE_SLOTS": "2", "RISE_BATCH_MEMORY_MIB": "512"})
        assert (found.slots, found.batch_memory_mib) == (4, 512)

    @pytest.mark.parametrize(
        ("flags", "device", "wanted"),
        [
            (["--tier", "device"], "cuda", 1),
            (["--tier", "edge"], "cuda:1", 8),
            (["--tier", "edge"], "cpu", 2),
            (["--tier", "device", "--slots", "3"], "cpu", 3),
        ],
    )
    def test_slots_that_nobody_asked_for_go_by_tier_and_machine(
        self, flags: list[str], device: str, wanted: int
    ) -> None:
        assert slots_of(settings.read(flags, {}), device) == wanted

    @pytest.mark.parametrize(
        ("flags", "environment", "wanted"),
        [
            ([], {}, ("none", False)),
            (["--offload", "encoders", "--tiny-vae"], {}, ("encoders", True)),
            ([], {"RISE_OFFLOAD": "encoders", "RISE_TINY_VAE": "1"}, ("encoders", True)),
            (["--offload", "none"], {"RISE_OFFLOAD": "encoders", "RISE_TINY_VAE": "0"}, ("none", False)),
        ],
    )
    def test_what_is_kept_where_can_be_chosen(
        self, flags: list[str], environment: dict[str, str], wanted: tuple[str, bool]
    ) -> None:
        found = settings.read(flags, environment)
        assert (found.offload, found.tiny_vae) == wanted

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
            ["--offload", "sequential"],
            ["--slots", "65"],
            ["--slots", "all"],
            ["--batch-memory-mib", "-1"],
            ["--name", "my.phone"],
            ["--name", "any"],
            ["--pool", "Edge Site"],
            ["--dedicated", "Job 1"],
            ["--dedicated", "j" * 64],
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
  tinyVae: {path: ../taesd}
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
        assert family.spec.tiny_vae is not None
        assert family.spec.tiny_vae.path == str(tmp_path / "../taesd")

    def test_a_name_that_is_no_family_is_answered_with_the_nearest(self) -> None:
        with pytest.raises(UnknownName, match="did you mean 'rise-shapes'"):
            manifests.read_family("rise-shape")

    def test_a_name_that_somebody_else_may_know_is_answered_with_how_to_ask_for_it(self) -> None:
        with pytest.raises(UnknownName, match="bus:tiny"):
            manifests.read_family("tiny")

    def test_a_manifest_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match=r"none\.yaml"):
            manifests.read_family(str(tmp_path / "none.yaml"))


def test_what_it_cannot_start_with_is_its_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(termination.VARIABLE, str(tmp_path / "word"))
    assert main(["--tier", "moon"]) == 2
    word = termination.decode((tmp_path / "word").read_text())
    assert word is not None and word.reason == "InvalidInput"
    assert capsys.readouterr().err == f"rise_stage: {word.message}\n"
