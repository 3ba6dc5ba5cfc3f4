"""The prior of the embedded family: made from the measured pictures, and of use."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import rise_shapes
from benchmarks._measured import Measured, load
from benchmarks.make_prior import arm_of, sums_of
from rise_scheduler.app import read_prior
from rise_scheduler.arms import canonical_arms
from rise_scheduler.composed.evidence import Ridge
from rise_scheduler.composed.features import design_for
from rise_scheduler.composed.prior import Prior, solved
from rise_scheduler.prompt import prompt_features


@cache
def pictures() -> list[Measured]:
    return load()


def believed(prior: Prior, arm: str, prompt: str) -> float:
    design = design_for(rise_shapes.family())
    static, base = design.rows_of([arm_of(arm, rise_shapes.family())])
    x = design.matrix(static, prompt_features(prompt))[0]
    return float(base[0] + x @ solved(Ridge(), design.names, prior).theta)


def test_the_file_is_what_the_measured_pictures_make() -> None:
    made, kept = sums_of(pictures(), rise_shapes.family()), read_prior(rise_shapes.prior_file()).offline
    assert kept.names == made.names, "make it anew: python -m benchmarks.make_prior"
    np.testing.assert_allclose(kept.xtx, made.xtx, rtol=1e-9)
    np.testing.assert_allclose(kept.rx, made.rx, rtol=1e-9, atol=1e-9)
    assert kept.n == len(pictures())


def test_it_foretells_pictures_that_it_was_not_made_from() -> None:
    held = {picture.prompt for picture in pictures() if picture.prompt_index % 4 == 0}
    seen = [picture for picture in pictures() if picture.prompt not in held]
    prior = Prior(sums_of(seen, rise_shapes.family()))
    for arm in canonical_arms(rise_shapes.family()):
        theirs = [picture for picture in pictures() if picture.arm == arm.name and picture.prompt in held]
        told = [believed(prior, arm.name, picture.prompt) for picture in theirs]
        assert np.mean(told) == pytest.approx(np.mean([picture.quality for picture in theirs]), abs=0.12), arm.name


def test_a_row_of_an_arm_that_the_family_does_not_list_counts_for_its_members() -> None:
    listed = {arm.name for arm in canonical_arms(rise_shapes.family())}
    other = next(picture for picture in pictures() if picture.arm not in listed)
    alone = sums_of([replace(other, quality=1.0)], rise_shapes.family())
    assert alone.n == 1
    own = [index for index, name in enumerate(alone.names) if name.startswith("arm=")]
    assert not alone.xtx[own].any()
    assert alone.xtx.any()
