"""How many frames: one for pictures, one and fours for videos."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from rise_contracts.errors import InvalidInput
from rise_contracts.frames import EVERY, frames_of, latent_frames
from rise_contracts.resources import Member, Metadata, ModelFamily, ModelFamilySpec, RelayJobSpec, Source


def family(architecture: str = "wan", **spec: object) -> ModelFamily:
    wanted = {"architecture": architecture, "base": Source(path="x"), "members": (Member(name="large"),), **spec}
    return ModelFamily(metadata=Metadata(name="tiny"), spec=ModelFamilySpec.model_validate(wanted))


@pytest.mark.parametrize("architecture", ["sd", "sdxl", "pixart", "sd3", "flux", "flux2", "sana"])
def test_a_family_of_pictures_makes_one_and_refuses_more(architecture: str) -> None:
    assert frames_of(family(architecture)) == frames_of(family(architecture), 1) == 1
    with pytest.raises(InvalidInput, match="wanted 1: family tiny makes pictures, not videos, got 2"):
        frames_of(family(architecture), 2)


def test_the_number_is_the_jobs_else_the_familys_else_the_architectures() -> None:
    assert frames_of(family(defaultFrames=17), 33) == 33
    assert frames_of(family(defaultFrames=17)) == 17
    assert frames_of(family()) == 81


@pytest.mark.parametrize(("asked", "near"), [(2, "1 or 5"), (80, "77 or 81"), (82, "81 or 85"), (12, "9 or 13")])
def test_a_number_between_two_frames_of_the_latent_is_refused_with_those_near_it(asked: int, near: str) -> None:
    with pytest.raises(InvalidInput, match=f"a multiple of 4 more, such as {near}, got {asked}"):
        frames_of(family(), asked)


def test_a_default_that_no_latent_has_is_refused_too() -> None:
    with pytest.raises(InvalidInput, match="13 or 17"):
        frames_of(family(defaultFrames=16))


@given(latents=st.integers(1, 65))
def test_every_frame_of_a_latent_but_the_first_is_four_of_the_video(latents: int) -> None:
    frames = 1 + EVERY * (latents - 1)
    assert frames_of(family(), frames) == frames
    assert latent_frames(frames) == latents


def test_a_family_of_pictures_has_no_default_number_of_frames() -> None:
    with pytest.raises(ValidationError, match="defaultFrames is for videos, which architecture 'sd' does not make"):
        family("sd", defaultFrames=9)


@pytest.mark.parametrize("frames", [0, -3, 258, 1_000_000])
def test_a_job_cannot_ask_for_none_nor_for_more_than_any_family_makes(frames: int) -> None:
    with pytest.raises(ValidationError, match="frames"):
        RelayJobSpec(prompt="x", frames=frames)
