"""The worlds: what is true, what is told, and that the two are not the same."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from benchmarks.scheduling import prompts, synthetic
from benchmarks.scheduling.shifts import Options, Shifts
from benchmarks.scheduling.truth import Truth, difficulty, noise_share
from benchmarks.scheduling.world import Prior, World, utilities
from rise_scheduler.predict import forecast
from rise_scheduler.prompt import prompt_features
from rise_scheduler.reward import reward

OPTIONS = Options(jobs=640)


@cache
def world() -> World:
    return synthetic.make(3, OPTIONS)


def rows_of(name: str) -> slice:
    start, end = world().phases[name]
    return slice(round(start * OPTIONS.jobs), round(end * OPTIONS.jobs))


def test_there_are_28_arms_of_all_kinds() -> None:
    arms = world().desk.arms
    kinds = [arm.kind for arm in arms]
    assert (len(arms), kinds.count("relay"), kinds.count("edge-only"), kinds.count("device-only")) == (28, 18, 6, 4)


def test_utility_is_the_product_s_reward() -> None:
    found = utilities(np.array([[0.7, 0.2]]), np.array([[3.0, 40.0]]), np.array([0.3]), 5.0)[0]
    assert found == pytest.approx(
        [reward(0.7, 3.0, preference=0.3, reference_s=5.0), reward(0.2, 40.0, preference=0.3, reference_s=5.0)]
    )


def test_the_forecast_is_the_product_s_formula_on_what_is_announced() -> None:
    asked = world().asked[5]
    for candidate in asked.question.candidates:
        alone = tuple(place._replace(backlog_s=None) for place in candidate.places)
        plain = forecast(candidate.arm.parts, alone, 1, 0)
        assert candidate.forecast.stage_seconds == pytest.approx(plain.stage_seconds)
        assert candidate.forecast.edge_s == pytest.approx(plain.edge_s)
        seen = candidate.forecast
        assert seen.latency_s == pytest.approx((plain.latency_s or 0.0) + sum(seen.waits) + sum(seen.moves))


def test_truth_departs_from_the_forecast_by_the_hidden_factors() -> None:
    edge = next(index for index, arm in enumerate(world().desk.arms) if arm.kind == "edge-only")
    ratios = np.array(
        [
            world().stages[i, edge, 0] / asked.question.candidates[list(asked.arms).index(edge)].forecast.edge_s
            for i, asked in enumerate(world().asked)
            if edge in asked.arms
        ]
    )
    calm, slower = ratios[rows_of("calm")], ratios[rows_of("edge")]
    assert slower.mean() / calm.mean() == pytest.approx(2.1 / 1.15, rel=0.05)
    assert calm.mean() > 1.0


def test_arms_are_only_asked_about_while_they_can_run() -> None:
    arms = world().desk.arms
    half = {index for index, arm in enumerate(arms) if any(part.member == "half" for part in arm.parts)}
    device = {index for index, arm in enumerate(arms) if any(part.tier == "device" for part in arm.parts)}
    for name, missing in (("gone", half), ("away", device)):
        for asked in world().asked[rows_of(name)]:
            assert not missing & set(asked.arms)
            assert len(asked.arms) == len(arms) - len(missing)
    assert all(len(asked.arms) == len(arms) for asked in world().asked[rows_of("calm")])


def test_the_best_arm_is_never_one_that_cannot_run() -> None:
    for i, best in enumerate(world().best):
        assert best == world().utility[i, world().available[i]].max()


def test_quality_falls_silently_for_what_the_base_member_made() -> None:
    arms = world().desk.arms
    truth, hard = Truth.draw(arms, np.random.default_rng(0)), np.linspace(0.1, 0.9, 9)
    lost = (truth.quality(hard) - truth.quality(hard, np.full(9, 0.16))).mean(axis=0)
    for arm, less in zip(arms, lost, strict=True):
        if arm.parts[0].member != "full":
            assert less == 0.0
        elif arm.kind == "edge-only":
            assert less == pytest.approx(0.16)
        else:
            assert 0.05 < less < 0.16


def test_harder_prompts_and_fewer_steps_make_worse_pictures_but_for_each_arm_s_own_waves() -> None:
    arms = world().desk.arms
    calm = Truth(arms, np.zeros(28), np.zeros(28), np.zeros(28), Truth.draw(arms, np.random.default_rng(1)).shift)
    quality = calm.quality(np.linspace(0.0, 1.0, 11))
    assert (np.diff(quality, axis=0) <= 0).all()
    names = [arm.name for arm in arms]
    full = quality[:, [names.index(name) for name in ("full:8", "full:15", "full:30")]]
    assert (np.diff(full, axis=1) > 0).all()


def test_difficulty_is_spread_evenly_and_belongs_to_the_text() -> None:
    texts = prompts.draw(np.random.default_rng(5), 2000)
    hard = difficulty([prompt_features(text) for text in texts], texts, np.random.default_rng(6))
    assert np.percentile(hard, [10, 50, 90]) == pytest.approx([0.1, 0.5, 0.9], abs=0.08)
    by_text: dict[str, set[float]] = {}
    for text, value in zip(texts, hard, strict=True):
        by_text.setdefault(text, set()).add(float(value))
    assert max(len(values) for values in by_text.values()) == 1


def test_the_share_of_noise_above_a_handoff_grows_as_it_comes_later() -> None:
    shares = [noise_share(sigma) for sigma in (4.0, 2.0, 0.9, None)]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_wrong_profile_changes_what_is_told_and_nothing_that_is_true() -> None:
    wrong = synthetic.make(3, replace(OPTIONS, edge_profile=2.2))
    assert (wrong.utility == world().utility).all()
    right, told = world().asked[0].edge, wrong.asked[0].edge
    assert told[right > 0] == pytest.approx(2.2 * right[right > 0])


def test_an_inverted_prior_takes_the_best_for_the_worst() -> None:
    prior = Prior((), np.array([[0.2, 0.5, 0.8]]))
    assert prior.inverted().scores == pytest.approx(np.array([[0.8, 0.5, 0.2]]))


def test_shifts_are_shares_of_the_run() -> None:
    shifts = Shifts()
    assert shifts.within((0.25, 0.5), 8).tolist() == [False, False, True, True, False, False, False, False]
    assert set(shifts.factor("edge", 3200)[900:1700]) == {2.1}
    assert set(shifts.factor("device", 3200)[:1400]) == {1.25}
