"""A path in a manifest leads to the model volume and nowhere else, where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_contracts.errors import InvalidInput
from rise_contracts.resources import Source
from rise_stage.engine.families.sources import locate


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "secret").mkdir()
    root = tmp_path / "models"
    (root / "sdxl").mkdir(parents=True)
    (root / "link-out").symlink_to(tmp_path / "secret")
    (root / "link-in").symlink_to(root / "sdxl")
    return root


@pytest.mark.parametrize("path", ["sdxl", "link-in", "sdxl/../sdxl", "."])
def test_a_folder_on_the_volume_is_found(volume: Path, path: str) -> None:
    assert locate(Source(path=str(volume / path)), environment={"RISE_MODELS": str(volume)}).is_dir()


@pytest.mark.parametrize("path", ["../secret", "sdxl/../../secret", "link-out", "/", "/etc", "~"])
def test_a_path_that_leaves_the_volume_is_refused(volume: Path, path: str) -> None:
    wanted = str(volume / path) if path != "~" else path
    with pytest.raises(InvalidInput, match=r"a folder inside .*models"):
        locate(Source(path=wanted), environment={"RISE_MODELS": str(volume)})


def test_on_ones_own_machine_a_path_may_lead_anywhere(volume: Path) -> None:
    assert locate(Source(path=str(volume.parent / "secret")), environment={}).is_dir()


def test_a_volume_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a folder inside /models"):
        locate(Source(path=str(tmp_path)), environment={"RISE_MODELS": "/models"})
