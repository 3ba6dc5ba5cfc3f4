from __future__ import annotations

import numpy as np
import pytest

from rise_scheduler.arms import arms_for, canonical_arms
from rise_scheduler.composed.features import HARDER, PROMPT, arm_features, design_for
from rise_scheduler.prompt import prompt_features
from rise_scheduler.quality import prior_quality
from tests.unit.scheduler.builders import family

FAMILY = family()
EASY, HARD = prompt_features("a cat"), prompt_features("two small red circles left of a large blue square, no border")


def test_every_arm_has_features_of_its_own_and_shares_the_rest() -> None:
    design = design_for(FAMILY)
    arms = canonical_arms(FAMILY)
    assert design.static.shape[0] == design.base.shape[0] == len(arms)
    assert sum(name.startswith("arm=") for name in design.names) == len(arms)
    assert len(set(design.names)) == len(design.names)


def test_a_row_is_what_the_arm_and_the_prompt_say() -> None:
    design = design_for(FAMILY)
    arm = canonical_arms(FAMILY)[0]
    static, base = design.rows_of([arm])
    row = dict(zip(design.names, design.matrix(static, HARD)[0], strict=True))
    for name, value in arm_features(arm, FAMILY).items():
        assert row[name] == pytest.approx(value)
        assert row[name + HARDER] == pytest.approx(value * HARD.complexity)
    assert row[f"arm={arm.name}"] == 1.0
    assert [row[name] for name in PROMPT] == pytest.approx(HARD.values())
    assert base[0] == prior_quality(arm, FAMILY)


def test_the_prompt_changes_what_depends_on_it_alone() -> None:
    design = design_for(FAMILY)
    static, _ = design.rows_of(list(canonical_arms(FAMILY)))
    easy, hard = design.matrix(static, EASY), design.matrix(static, HARD)
    differing = {name for index, name in enumerate(design.names) if (easy[:, index] != hard[:, index]).any()}
    assert differing <= {name for name in design.names if name.endswith(HARDER)} | set(PROMPT)
    assert differing


def test_an_arm_scaled_to_other_steps_keeps_the_record_of_the_one_it_comes_from() -> None:
    design = design_for(FAMILY)
    scaled = arms_for(FAMILY, 10)[0]
    assert scaled.name not in design.rows
    static, base = design.rows_of([canonical_arms(FAMILY)[1], scaled])
    row = dict(zip(design.names[: static.shape[1]], static[1], strict=True))
    assert row[f"arm={scaled.learns_as}"] == 1.0
    few = design.names.index("few")
    assert static[1, few] > static[0, few]
    assert base[1] == prior_quality(scaled, FAMILY)


def test_more_steps_are_more_effort_and_a_relay_has_a_share_of_each() -> None:
    by_name = {arm.name: arm_features(arm, FAMILY) for arm in canonical_arms(FAMILY)}
    assert (
        by_name["large:20"]["effort:large"] > by_name["large:10"]["effort:large"] > by_name["large:5"]["effort:large"]
    )
    relay = by_name["large:6@1.2+finisher:6"]
    assert relay["tail=finisher"] == 1.0
    assert 0 < relay["share:large"] < 1
    assert "hump" not in by_name["large:20"]
    assert by_name["large:3@1.5+finisher:6~q8"]["wire=q8"] == 1.0


def test_features_are_of_a_size_that_one_prior_fits() -> None:
    static = design_for(FAMILY).static
    assert np.abs(static).max() <= 1.0
