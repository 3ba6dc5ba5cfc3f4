from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rise_scheduler.posterior import ArmSums, Posterior, Settled
from rise_scheduler.posterior_json import SCHEMA, dump, load
from rise_scheduler.state import StateRefused

FEATURES = ("bias", "speed", "load")


def learned(count: int = 20, seed: int = 0) -> Posterior:
    rng = np.random.default_rng(seed)
    posterior = Posterior(FEATURES).with_reference(1.7)
    for index in range(count):
        sums = ArmSums.of(rng.normal(size=3), float(rng.normal()), 0.5 if index % 2 else None)
        posterior = posterior.credited(f"d{index}", Settled(0.5, bool(index % 2)), f"a{index % 4}", sums)
    return posterior


def record(**changes: Any) -> bytes:
    return json.dumps(json.loads(dump(learned())) | changes).encode()


@given(st.integers(0, 40), st.integers(0, 1000))
def test_reads_back_bit_for_bit(count: int, seed: int) -> None:
    before = learned(count, seed)
    after = load(dump(before), FEATURES)
    assert dump(after) == dump(before)
    assert list(after.settled.items()) == list(before.settled.items())
    assert after.reference_s == before.reference_s
    for name, sums in before.arms.items():
        assert np.array_equal(after.arm(name).xtx, sums.xtx)
        assert np.array_equal(after.arm(name).rx, sums.rx)


def test_a_restart_between_any_two_outcomes_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    straight, restarted = Posterior(FEATURES), Posterior(FEATURES)
    for index in range(60):
        sums = ArmSums.of(rng.normal(size=3), float(rng.normal()), None)
        straight = straight.credited(f"d{index}", Settled(0.5, False), "a", sums)
        restarted = load(dump(restarted), FEATURES).credited(f"d{index}", Settled(0.5, False), "a", sums)
    assert dump(restarted) == dump(straight)


def test_other_features_are_mapped_by_name() -> None:
    before = learned()
    after = load(dump(before), ("load", "new", "bias"))
    old, new = before.arm("a0"), after.arm("a0")
    assert new.xtx[0, 2] == old.xtx[2, 0]
    assert new.xtx[2, 2] == old.xtx[0, 0]
    assert new.rx.tolist() == [old.rx[2], 0.0, old.rx[0]]
    assert not new.xtx[1].any()
    assert new.n == old.n


def test_a_newer_schema_is_refused_as_newer() -> None:
    with pytest.raises(StateRefused, match="run a newer release") as caught:
        load(record(schema=SCHEMA + 1), FEATURES)
    assert caught.value.newer


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        record(arms=[1]),
        record(arms={"a": {"n": 1, "xtx": [[1.0]], "rx": [1.0], "quality": [0, 0]}}),
        record(arms={"a": {"n": 1, "xtx": np.eye(3).tolist(), "rx": [1.0, float("nan"), 0.0], "quality": [0, 0]}}),
        record(arms={"a": {"n": 1, "xtx": (-np.eye(3)).tolist(), "rx": [0.0, 0.0, 0.0], "quality": [0, 0]}}),
        record(arms={"a": {"n": 1, "xtx": [[1, 2, 0], [0, 1, 0], [0, 0, 1]], "rx": [0, 0, 0], "quality": [0, 0]}}),
        record(settled={"d": [float("inf"), True]}),
        record(settled={"d": []}),
        record(reference_s=-1.0),
        record(reference_s="soon"),
    ],
)
def test_damage_is_refused_by_name(damage: bytes) -> None:
    with pytest.raises(StateRefused, match="damaged") as caught:
        load(damage, FEATURES)
    assert not caught.value.newer


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    try:
        load(data, FEATURES)
    except StateRefused:
        return


def test_a_number_that_is_not_finite_is_never_written() -> None:
    broken = Posterior(FEATURES).credited("d", Settled(float("nan"), True), "a", ArmSums.empty(3))
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump(broken)
