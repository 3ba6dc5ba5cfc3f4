"""The world of measured runs: what it is told of is what was measured."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks._measured import Measured
from benchmarks.scheduling import measured
from benchmarks.scheduling.shifts import Options
from benchmarks.scheduling.world import World
from rise_scheduler.arm import base_member


@cache
def world() -> World:
    return measured.make(1, Options(jobs=320))


def rows(*, without: tuple[int, str] | None = None) -> list[Measured]:
    return [
        Measured(arm, index, f"{'two red circles, ' * index}a fox", seed, float((index + seed) % 2), 1.0, 1.0)
        for index in range(10)
        for arm in ("large:2", "small:4")
        for seed in (7, 8)
        if (index, arm) != without
    ]


def test_a_table_has_a_picture_of_every_prompt_by_every_arm_and_seed() -> None:
    table = measured.table_of(rows())
    assert table.quality.shape == (10, 2, 2)
    assert table.quality[3, :, 0].tolist() == [0.0, 1.0]
    assert np.bincount(table.cell).tolist() == [2] * measured.CELLS
    by_complexity = np.argsort([item.complexity for item in table.features], kind="stable")
    assert (np.diff(table.cell[by_complexity]) >= 0).all()


def test_a_table_with_a_hole_is_refused() -> None:
    with pytest.raises(ValueError, match="measure the rest"):
        measured.table_of(rows(without=(4, "large:2")))


def test_expected_quality_is_the_mean_of_a_group_s_pictures() -> None:
    table = measured.table_of(rows())
    means = table.means(np.arange(10))
    for group in range(measured.CELLS):
        inside = table.cell == group
        want = table.quality[inside].mean(axis=(0, 1))
        assert means[inside] == pytest.approx(np.tile(want, (int(inside.sum()), 1)))


def test_the_family_has_exactly_the_measured_arms() -> None:
    table, profile = measured.ground()
    assert tuple(arm.name for arm in profile.arms) == table.arms
    assert len(table.arms) >= 28
    assert len(table.prompts) >= 200
    with pytest.raises(ValueError, match="measured"):
        measured.family_with(("large:3",))


def test_seconds_are_the_measured_ones() -> None:
    _, profile = measured.ground()
    base = base_member(profile.family)
    assert profile.reference_s == pytest.approx(base.default_steps * profile.step_s[base.name])
    assert profile.step_s["large"] > profile.step_s["finisher"] > 0
    assert np.median(profile.spread) == pytest.approx(1.0, abs=0.02)
    assert min(*profile.begin_s.values(), *profile.end_s.values(), profile.hand_s) > 0


def test_what_a_player_hears_is_a_picture_of_that_very_prompt_until_the_base_member_spoils_some() -> None:
    table, _ = measured.ground()
    row = {text: index for index, text in enumerate(table.prompts)}
    calm = range(round(0.7 * 320))
    for i in calm:
        pictures = table.quality[row[world().texts[i]]]
        assert any((world().scored[i] == picture).all() for picture in pictures)
    assert set(np.unique(world().scored)) == {0.0, 1.0}


def test_prompts_of_the_prior_are_never_asked_for() -> None:
    table, _ = measured.ground()
    back = {table.prompts[index] for index in range(0, len(table.prompts), measured.KEPT_BACK)}
    assert not back & set(world().texts)
    assert world().prior.scores.shape == (60, len(table.arms))


def test_the_silent_drop_takes_as_much_as_the_base_member_has_of_the_noise_range() -> None:
    table, profile = measured.ground()
    lost = measured._lost(profile, Options(jobs=320), 320)
    names = table.arms
    assert (lost[:240] == 0).all()
    assert lost[-1, names.index("large:24")] == pytest.approx(0.16)
    assert lost[-1, names.index("small:12")] == 0.0
    early, late = (lost[-1, names.index(name)] for name in ("large:2@2.5+finisher:6", "large:8@0.6+finisher:6"))
    assert 0 < early < late < 0.16
