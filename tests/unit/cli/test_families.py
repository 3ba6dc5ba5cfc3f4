"""Where families come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_cli import families
from rise_contracts import errors
from tests.unit.cli.conftest import FAMILY


def test_the_embedded_family_is_there_without_a_model_library() -> None:
    found = families.find("rise-shapes", None)
    assert {"large", "small", "finisher"} <= {member.name for member in found.spec.members}


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(errors.UnknownName, match="did you mean 'rise-shapes'"):
        families.find("rise-shaeps", None)


def test_relative_folders_are_taken_from_where_the_manifest_lies(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "family.yaml"
    path.write_text(FAMILY.replace("/nowhere", "model"))
    found = families.find("anything", path)
    assert found.spec.base.path == str(tmp_path / "model")


def test_a_tiny_autoencoders_folder_is_too_and_must_be_there(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "family.yaml"
    path.write_text(FAMILY.replace("base: {path: /nowhere}", "base: {path: model}\n  tinyVae: {path: taesd}"))
    with pytest.raises(errors.NotFound, match="it is the source of tiny_vae"):
        families.from_file(path)
    (tmp_path / "taesd").mkdir()
    tiny = families.from_file(path).spec.tiny_vae
    assert tiny is not None
    assert tiny.path == str(tmp_path / "taesd")


def test_a_folder_that_is_missing_is_told_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "family.yaml"
    path.write_text(FAMILY)
    with pytest.raises(errors.NotFound, match="folder '/nowhere' does not exist; it is the source of base"):
        families.from_file(path)


def test_a_hub_id_is_left_to_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "family.yaml"
    path.write_text(FAMILY.replace("{path: /nowhere}", "{hub: someone/model}"))
    assert families.from_file(path).spec.base.hub == "someone/model"


@pytest.mark.parametrize(
    ("make", "want"),
    [
        (lambda path: None, "does not exist; check the path"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "text in UTF-8"),
        (lambda path: path.mkdir(), "a file that can be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_told(make: object, want: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    assert callable(make)
    make(path)
    with pytest.raises(errors.RiseError, match=want):
        families.read_text(path)
