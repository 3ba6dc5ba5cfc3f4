from __future__ import annotations

import numpy as np

from rise_scheduler.composed.change import NOISE_SD, Drift, noise_variance, watched
from rise_scheduler.composed.evidence import Level
from rise_scheduler.composed.knowledge import Learning

HOW = Learning()


def alarms(residuals: list[float]) -> list[int]:
    """When there was an alarm, with the deviation that is taken before any was measured."""
    drifts: dict[str, Drift] = {}
    found = []
    for index, residual in enumerate(residuals):
        drifts, changed = watched(drifts, ("large",), residual, Level(), HOW)
        if changed:
            found.append(index)
    return found


def test_a_drop_of_one_deviation_and_a_half_is_seen_within_a_dozen_pictures() -> None:
    (first, *_) = alarms([0.0] * 50 + [-1.5 * NOISE_SD] * 12)
    assert 50 < first < 62


def test_a_rise_is_seen_too() -> None:
    assert alarms([2.0 * NOISE_SD] * 10)


def test_noise_gives_alarm_less_than_once_in_five_hundred_pictures() -> None:
    rng = np.random.default_rng(3)
    assert len(alarms((rng.normal(0.0, NOISE_SD, 5000)).tolist())) <= 10


def test_sums_begin_anew_after_an_alarm_and_alarms_are_counted() -> None:
    drifts, changed = watched({"large": Drift(low=6.0)}, ("large",), -NOISE_SD, Level(), HOW)
    assert changed == ["large"]
    assert drifts["large"] == Drift(0.0, 0.0, 1)


def test_each_member_of_a_picture_is_watched_once_and_others_are_left() -> None:
    other = Drift(low=2.0)
    drifts, _ = watched({"other": other}, ("large", "small", "large"), -0.1, Level(), HOW)
    assert drifts["other"] is other
    assert drifts["large"] == drifts["small"]


def test_the_deviation_is_learned() -> None:
    quiet = Level(n=1000.0, total=1000.0 * 0.02**2)
    assert noise_variance(Level()) == NOISE_SD**2
    assert noise_variance(quiet) ** 0.5 < 0.04
