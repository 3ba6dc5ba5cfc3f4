from __future__ import annotations

import numpy as np
import pytest

from rise_scheduler.posterior import SETTLED_KEPT, ArmSums, Posterior, Settled

FEATURES = ("bias", "speed")


def one(x: list[float], reward: float, quality: float | None = None) -> ArmSums:
    return ArmSums.of(np.array(x), reward, quality)


def test_sums_of_one_outcome() -> None:
    sums = one([1.0, 2.0], 0.5, 0.8)
    assert sums.xtx.tolist() == [[1.0, 2.0], [2.0, 4.0]]
    assert sums.rx.tolist() == [0.5, 1.0]
    assert (sums.n, sums.quality_sum, sums.quality_n) == (1, 0.8, 1)
    assert one([1.0, 2.0], 0.5).quality_n == 0


def test_adding_changes_neither_side() -> None:
    a, b = one([1.0, 0.0], 1.0), one([0.0, 1.0], 2.0)
    both = a.plus(b)
    assert both.xtx.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert both.n == 2
    assert a.n == b.n == 1
    assert a.xtx.tolist() == [[1.0, 0.0], [0.0, 0.0]]


def test_crediting_makes_a_new_value_and_notes_the_decision() -> None:
    empty = Posterior(FEATURES)
    after = empty.credited("d1", Settled(0.9, False), "large:20", one([1.0, 0.0], 0.4))
    assert empty.outcomes == 0
    assert empty.settled == {}
    assert after.outcomes == 1
    assert after.settled["d1"] == Settled(0.9, False)
    assert after.arm("large:20").n == 1
    assert after.arm("never").n == 0


def test_a_correction_counts_no_second_outcome() -> None:
    posterior = Posterior(FEATURES).credited("d1", Settled(0.9, False), "a", one([1.0, 2.0], 0.4))
    corrected = posterior.credited("d1", Settled(0.5, True), "a", ArmSums.correction(np.array([1.0, 2.0]), -0.1, 0.5))
    assert corrected.outcomes == 1
    assert corrected.arm("a").rx == pytest.approx([0.3, 0.6])
    assert corrected.arm("a").xtx.tolist() == posterior.arm("a").xtx.tolist()
    assert corrected.settled == {"d1": Settled(0.5, True)}


def test_mean_quality_counts_measurements_alone() -> None:
    posterior = Posterior(FEATURES)
    assert posterior.mean_quality("a") is None
    for index, quality in enumerate((0.5, None, 0.7)):
        posterior = posterior.credited(f"d{index}", Settled(0.6, True), "a", one([1.0, 0.0], 0.0, quality))
    assert posterior.mean_quality("a") == pytest.approx(0.6)


def test_the_oldest_notes_go_first_and_the_sums_stay() -> None:
    posterior = Posterior(FEATURES)
    total = SETTLED_KEPT + 10
    for index in range(total):
        posterior = posterior.credited(f"d{index}", Settled(0.5, True), "a", one([1.0, 0.0], 0.1))
    assert len(posterior.settled) == SETTLED_KEPT
    assert "d9" not in posterior.settled
    assert f"d{total - 1}" in posterior.settled
    assert posterior.outcomes == total


def test_a_corrected_note_is_young_again() -> None:
    posterior = Posterior(FEATURES)
    for name in ("d0", "d1"):
        posterior = posterior.credited(name, Settled(0.5, False), "a", one([1.0, 0.0], 0.1))
    posterior = posterior.credited("d0", Settled(0.6, True), "a", one([0.0, 0.0], 0.0))
    assert list(posterior.settled) == ["d1", "d0"]


def test_the_reference_is_set_once() -> None:
    posterior = Posterior(FEATURES).with_reference(2.0)
    assert posterior.with_reference(9.0).reference_s == 2.0


def test_two_replicas_that_take_turns_hold_what_one_learner_holds() -> None:
    rng = np.random.default_rng(3)
    outcomes = [(f"d{i}", f"a{i % 3}", rng.normal(size=2), float(rng.normal())) for i in range(200)]
    alone, shared = Posterior(FEATURES), Posterior(FEATURES)
    for name, arm, x, reward in outcomes:
        alone = alone.credited(name, Settled(0.5, True), arm, ArmSums.of(x, reward, None))
    # Each replica has half of the outcomes, and every write adds to what the other wrote last.
    for mine, theirs in zip(outcomes[0::2], reversed(outcomes[1::2]), strict=True):
        for name, arm, x, reward in (mine, theirs):
            shared = shared.credited(name, Settled(0.5, True), arm, ArmSums.of(x, reward, None))
    assert shared.outcomes == alone.outcomes == 200
    for arm in ("a0", "a1", "a2"):
        np.testing.assert_allclose(shared.arm(arm).xtx, alone.arm(arm).xtx, rtol=0, atol=1e-12)
        np.testing.assert_allclose(shared.arm(arm).rx, alone.arm(arm).rx, rtol=0, atol=1e-12)
