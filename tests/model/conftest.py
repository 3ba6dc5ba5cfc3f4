"""Families for the model ring, made once per run."""

from __future__ import annotations

from pathlib import Path

import pytest

from rise_contracts.resources import ModelFamily
from rise_stage.engine import Engine
from rise_stage.quiet import quiet
from tests.model.tiny import tiny_family

quiet()


@pytest.fixture(scope="session")
def sd(tmp_path_factory: pytest.TempPathFactory) -> ModelFamily:
    """A tiny Stable Diffusion family with v prediction, spaced as the embedded family is."""
    return tiny_family(tmp_path_factory.mktemp("sd") / "base")


@pytest.fixture(scope="session")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> ModelFamily:
    """A tiny SDXL family with the noise settings of the real one."""
    folder = tmp_path_factory.mktemp("sdxl") / "base"
    return tiny_family(folder, "sdxl", prediction_type="epsilon", timestep_spacing="leading", steps_offset=1)


@pytest.fixture(scope="session")
def pixart(tmp_path_factory: pytest.TempPathFactory) -> ModelFamily:
    """A tiny PixArt-Sigma family, predicting noise as the real one does."""
    return tiny_family(tmp_path_factory.mktemp("pixart") / "base", "pixart", prediction_type="epsilon")


@pytest.fixture(scope="session")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> ModelFamily:
    """A tiny Stable Diffusion 3.5 family."""
    return tiny_family(tmp_path_factory.mktemp("sd3") / "base", "sd3")


@pytest.fixture(scope="session")
def flux(tmp_path_factory: pytest.TempPathFactory) -> ModelFamily:
    """A tiny FLUX.1 family, shifted by the size of the picture."""
    return tiny_family(tmp_path_factory.mktemp("flux") / "base", "flux")


@pytest.fixture(scope="session")
def flux2(tmp_path_factory: pytest.TempPathFactory) -> ModelFamily:
    """A tiny FLUX.2 family: dev, and smaller members that read prompts with dev's text encoder."""
    return tiny_family(tmp_path_factory.mktemp("flux2") / "base", "flux2")


@pytest.fixture(scope="session")
def wan(tmp_path_factory: pytest.TempPathFactory) -> ModelFamily:
    """A tiny Wan family, whose videos have nine frames."""
    return tiny_family(tmp_path_factory.mktemp("wan") / "base", "wan")


@pytest.fixture(scope="session")
def sana(tmp_path_factory: pytest.TempPathFactory) -> ModelFamily:
    """A tiny Sana family, whose scheduler is a multistep one."""
    return tiny_family(tmp_path_factory.mktemp("sana") / "base", "sana")


@pytest.fixture(scope="session")
def sd_engine(sd: ModelFamily) -> Engine:
    return Engine.load(sd, ["large", "small"])


@pytest.fixture(scope="session")
def sdxl_engine(sdxl: ModelFamily) -> Engine:
    return Engine.load(sdxl, ["large"])


@pytest.fixture(scope="session")
def pixart_engine(pixart: ModelFamily) -> Engine:
    return Engine.load(pixart, ["large"])


@pytest.fixture(scope="session")
def sd3_engine(sd3: ModelFamily) -> Engine:
    return Engine.load(sd3, ["large", "small"])


@pytest.fixture(scope="session")
def flux_engine(flux: ModelFamily) -> Engine:
    return Engine.load(flux, ["large", "small"])


@pytest.fixture(scope="session")
def flux2_engine(flux2: ModelFamily) -> Engine:
    return Engine.load(flux2, ["large", "small"])


@pytest.fixture(scope="session")
def wan_engine(wan: ModelFamily) -> Engine:
    return Engine.load(wan, ["large", "small"])


@pytest.fixture(scope="session")
def sana_engine(sana: ModelFamily) -> Engine:
    return Engine.load(sana, ["large", "small"])


def folder_of(family: ModelFamily) -> Path:
    assert family.spec.base.path is not None
    return Path(family.spec.base.path)
