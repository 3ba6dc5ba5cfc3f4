"""Whether more features of a text foretell its pictures: the parts of that comparison."""

from __future__ import annotations

import numpy as np
import pytest

import rise_shapes
from benchmarks import pooled_text
from benchmarks._measured import Measured
from benchmarks.make_prior import known
from rise_scheduler.composed.features import design_for

GROUPS = np.repeat(np.arange(256), 5)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def test_components_have_variance_one_and_say_different_things(rng: np.random.Generator) -> None:
    states = rng.normal(size=(40, 6)) @ np.diag([9.0, 5.0, 3.0, 1.0, 0.5, 0.1])
    found = pooled_text.components(states)
    assert np.allclose(found.T @ found / len(found), np.eye(6))
    assert abs(np.corrcoef(found[:, 0], states[:, 0])[0, 1]) > 0.9


@pytest.mark.parametrize(("told", "helps"), [(1.0, True), (0.0, False)])
def test_a_feature_lowers_the_error_on_new_groups_only_if_it_says_something(
    told: float, helps: bool, rng: np.random.Generator
) -> None:
    hidden = rng.normal(size=256)
    added = told * hidden + (1 - told) * rng.normal(size=256)
    one = np.ones((len(GROUPS), 1))
    y = hidden[GROUPS] + 0.1 * rng.normal(size=len(GROUPS))
    before = pooled_text.error(one, y, GROUPS)
    after = pooled_text.error(np.hstack([one, added[GROUPS, None]]), y, GROUPS)
    assert (after < 0.1 * before) if helps else (after > 0.9 * before)


def test_what_names_the_group_helps_on_no_other_group(rng: np.random.Generator) -> None:
    y = rng.normal(size=256)[GROUPS]
    one = np.ones((len(GROUPS), 1))
    named = np.eye(256)[GROUPS]
    assert pooled_text.error(np.hstack([one, named]), y, GROUPS) > 0.9 * pooled_text.error(one, y, GROUPS)


def test_a_picture_is_known_by_what_the_policy_sees_of_it() -> None:
    rows = [
        Measured(arm, number, "a small red circle", 1, quality, quality, 1.0)
        for number, (arm, quality) in enumerate([("large:8", 1.0), ("large:24", 0.0)])
    ]
    x, y = known(rows, rise_shapes.family())
    design = design_for(rise_shapes.family())
    assert x.shape == (2, len(design.names))
    assert y[0] > 0 > y[1]
    assert not np.array_equal(x[0], x[1])
