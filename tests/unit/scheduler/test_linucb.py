from __future__ import annotations

import numpy as np
import pytest

from rise_scheduler.linucb import score_arms
from rise_scheduler.posterior import ArmSums, Array, Posterior, Settled

Outcomes = dict[str, list[tuple[Array, float]]]
D = 6
FEATURES = tuple(f"f{i}" for i in range(D))


def learned(count: int, arms: int, seed: int = 0, scale: float = 1.0) -> tuple[Posterior, Outcomes]:
    """A posterior of `count` random outcomes over `arms` arms, and the outcomes themselves as (x, reward)."""
    rng = np.random.default_rng(seed)
    posterior = Posterior(FEATURES)
    kept: Outcomes = {f"a{i}": [] for i in range(arms)}
    for index in range(count):
        name = f"a{rng.integers(arms)}"
        x, reward = scale * rng.normal(size=D), float(rng.normal())
        kept[name].append((x, reward))
        posterior = posterior.credited(f"d{index}", Settled(0.5, True), name, ArmSums.of(x, reward, None))
    return posterior, kept


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("ridge", [0.1, 1.0, 10.0])
def test_equals_the_direct_solution(scale: float, ridge: float) -> None:
    alpha = 0.7
    posterior, kept = learned(400, 5, scale=scale)
    x = scale * np.random.default_rng(1).normal(size=D)
    scores = score_arms(posterior, list(kept), x, alpha=alpha, ridge=ridge)
    for score in scores:
        rows = np.array([row for row, _ in kept[score.arm]])
        rewards = np.array([reward for _, reward in kept[score.arm]])
        a = rows.T @ rows + ridge * np.eye(D)
        theta = np.linalg.solve(a, rows.T @ rewards)
        width = float(np.sqrt(x @ np.linalg.inv(a) @ x))
        assert score.mean == pytest.approx(float(theta @ x), rel=1e-9, abs=1e-9)
        assert score.width == pytest.approx(width, rel=1e-9, abs=1e-9)
        assert score.score == pytest.approx(float(theta @ x) + alpha * width, rel=1e-9, abs=1e-9)


def test_an_arm_never_tried_has_the_prior_s_mean_and_width() -> None:
    x = np.arange(1.0, D + 1.0)
    (score,) = score_arms(Posterior(FEATURES), ["new"], x, alpha=1.0, ridge=4.0)
    assert score.mean == 0.0
    assert score.width == pytest.approx(float(np.linalg.norm(x)) / 2.0)


def test_answers_in_the_order_asked_and_nothing_for_nothing() -> None:
    posterior, _ = learned(50, 3)
    x = np.ones(D)
    names = ["a2", "a0", "a1"]
    assert [score.arm for score in score_arms(posterior, names, x, alpha=1.0, ridge=1.0)] == names
    assert score_arms(posterior, [], x, alpha=1.0, ridge=1.0) == []


def test_more_evidence_never_widens() -> None:
    posterior, _ = learned(200, 1)
    x = np.ones(D)
    before = score_arms(Posterior(FEATURES), ["a0"], x, alpha=1.0, ridge=1.0)[0].width
    after = score_arms(posterior, ["a0"], x, alpha=1.0, ridge=1.0)[0].width
    assert 0.0 < after < before


def test_one_direction_repeated_ten_thousand_times_stays_sound() -> None:
    x = np.ones(D)
    sums = ArmSums(1e4 * np.outer(x, x), 1e4 * 0.3 * x, 10_000)
    posterior = Posterior(FEATURES).credited("d", Settled(0.5, True), "a", sums)
    other = np.array([1.0, -1.0, 0.0, 0.0, 0.0, 0.0])
    along, across = (score_arms(posterior, ["a"], v, alpha=1.0, ridge=1.0)[0] for v in (x, other))
    assert along.mean == pytest.approx(0.3, abs=1e-4)
    assert along.width < 0.011
    assert across.width == pytest.approx(float(np.sqrt(2.0)), rel=1e-6)
