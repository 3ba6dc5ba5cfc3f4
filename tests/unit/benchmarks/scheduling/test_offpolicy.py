"""The estimates of another policy's value, on logs whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.scheduling import offpolicy, plain, product
from benchmarks.scheduling.offpolicy import Log
from rise_scheduler.composed.policy import ComposedPolicy
from tests.unit.benchmarks.scheduling.worlds import small

JOBS, ARMS = 4000, 4
WORTH = np.array([0.1, 0.2, 0.3, 0.6])


def log(*, propensity: float, model: np.ndarray, seed: int = 0) -> Log:
    """A logger that takes the last arm but for draws of all four, and a target that always takes the second."""
    rng = np.random.default_rng(seed)
    drawn = rng.random(JOBS) < propensity * ARMS
    arm = np.where(drawn, rng.integers(ARMS, size=JOBS), ARMS - 1)
    chances = np.where(arm == ARMS - 1, 1.0 - propensity * (ARMS - 1), propensity)
    reward = WORTH[arm] + rng.normal(0.0, 0.1, JOBS)
    return Log(arm, chances, reward, np.ones(JOBS, dtype=int), np.tile(model, (JOBS, 1)), np.ones((JOBS, ARMS, 1)))


def test_of_the_logger_itself_every_estimate_is_the_mean() -> None:
    one = log(propensity=0.1, model=WORTH)
    own = Log(one.arm, np.ones(JOBS), one.reward, one.arm, one.expected, one.x)
    found = offpolicy.estimate(own, 0.0)
    assert (found.ips, found.snips, found.dr) == pytest.approx((one.reward.mean(),) * 3)


def test_weighting_finds_the_value_of_an_arm_that_is_seldom_drawn() -> None:
    found = [offpolicy.estimate(log(propensity=0.1, model=np.zeros(4), seed=seed), 0.2) for seed in range(20)]
    for name in ("ips", "snips", "dr"):
        assert np.mean([getattr(item, name) for item in found]) == pytest.approx(0.2, abs=0.01), name


def test_a_model_that_is_right_makes_the_estimate_sharp_and_one_that_is_wrong_does_not_bias_it() -> None:
    right = [offpolicy.estimate(log(propensity=0.1, model=WORTH, seed=s), 0.2) for s in range(20)]
    wrong = [offpolicy.estimate(log(propensity=0.1, model=1.0 - WORTH, seed=s), 0.2) for s in range(20)]
    assert np.std([item.dr for item in right]) < 0.7 * np.std([item.ips for item in right])
    assert np.mean([item.dr for item in wrong]) == pytest.approx(0.2, abs=0.03)


def test_the_switch_leaves_weights_that_are_too_large_to_the_model() -> None:
    rare = log(propensity=0.005, model=WORTH)
    assert (1.0 / rare.propensity.min()) > offpolicy.SWITCH
    errors = {name: [] for name in ("dr", "switch")}  # type: dict[str, list[float]]
    for seed in range(20):
        found = offpolicy.estimate(log(propensity=0.005, model=WORTH, seed=seed), 0.2)
        for name, values in errors.items():
            values.append(abs(getattr(found, name) - 0.2))
    assert np.mean(errors["switch"]) < np.mean(errors["dr"])


def test_the_log_of_a_run_holds_what_was_judged_and_what_each_decision_expected() -> None:
    world = small(1, 320)
    ours = product.composed(world.desk, world.prior, ComposedPolicy(alpha=0.1, epsilon=0.1), weight=200.0, priced=False)
    found = offpolicy.estimates(world, ours, plain.Analytic(world.prior, world.desk.reference_s))
    assert found.truth == pytest.approx(found.switch, abs=0.05)
    assert ours.expected is not None
