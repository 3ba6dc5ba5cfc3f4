"""The table of measured pictures: what is written is read again, to the byte, and the committed one is whole."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

import rise_shapes
from benchmarks import _measured, measure_arms
from benchmarks._measured import Measured
from benchmarks._prompts import prompts
from rise_contracts.configuration import parse_arm
from rise_scheduler.arms import canonical_arms

ROWS = [
    Measured("small:8", 1, 'a red circle, "quoted"', 1001, 0.0, 0.875, 0.6123),
    Measured("large:8", 10, "a blue ring", 1010, 1.0, 1.0, 0.9),
    Measured("large:8", 2, "a red cross", 1002, 0.0, 0.5, 0.0),
]


def test_what_is_saved_is_loaded_in_order(tmp_path: Path) -> None:
    _measured.save(ROWS, tmp_path / "deep" / "table.csv.gz")
    assert _measured.load(tmp_path / "deep" / "table.csv.gz") == sorted(ROWS)


def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path: Path) -> None:
    for name, rows in (("a", ROWS), ("b", list(reversed(ROWS)))):
        _measured.save(rows, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes()[4:8] == bytes(4), "the time of writing is no part of the data"


def test_a_table_with_other_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(gzip.compress(b"arm,prompt,quality\nlarge:8,a red circle,1\n"))
    with pytest.raises(ValueError, match="wanted the columns arm, prompt_index"):
        _measured.load(tmp_path / "old")


def test_every_arm_of_the_family_is_measured_and_can_be_read() -> None:
    family = rise_shapes.family()
    tried = measure_arms.arms(family)
    assert {arm.name for arm in canonical_arms(family)} <= set(tried)
    assert len(tried) == len(set(tried)) >= 30
    relays = [parse_arm(arm) for arm in tried if len(parse_arm(arm)) == 2]
    assert {relay[0].until_sigma for relay in relays} == set(family.spec.handoffs)
    for relay in relays:
        limit = next(member.sigma_max for member in family.spec.members if member.name == relay[1].member)
        assert limit is None or (relay[0].until_sigma or 0) <= limit


def test_no_two_pictures_of_an_arm_share_their_noise() -> None:
    seeds = [measure_arms.seed_of(index, number) for index in range(240) for number in range(4)]
    assert len(set(seeds)) == len(seeds)


def test_means_are_told_the_best_arm_first() -> None:
    lines = measure_arms.means_table(ROWS).splitlines()[2:]
    assert lines == ["| `large:8` | 0.500 | 0.750 | 0.450 | 2 |", "| `small:8` | 0.000 | 0.875 | 0.612 | 1 |"]


def test_what_is_kept_of_other_prompts_or_another_solver_does_not_count() -> None:
    family = rise_shapes.family()
    tried = measure_arms.arms(family)
    kept = measure_arms.fingerprint(family, tried, prompts(8))
    assert measure_arms.fingerprint(family, tried, prompts(8)) == kept
    assert measure_arms.fingerprint(family, tried, prompts(16)) != kept
    assert measure_arms.fingerprint(family, tried[1:], prompts(8)) != kept
    other = family.model_copy(update={"spec": family.spec.model_copy(update={"solver": "heun"})})
    assert measure_arms.fingerprint(other, tried, prompts(8)) != kept


def test_the_arms_of_a_member_are_those_in_which_it_has_a_stage() -> None:
    tried = measure_arms.arms(rise_shapes.family())
    assert measure_arms.arms_with(None, tried) == tried
    own = measure_arms.arms_with("finisher", tried)
    assert set(own) == {arm for arm in tried if "finisher" in arm}
    assert 0 < len(own) < len(tried)


def test_the_committed_table_has_every_arm_on_every_prompt_with_every_seed() -> None:
    rows, family = _measured.load(), rise_shapes.family()
    texts = [item.text for item in prompts(240)]
    assert {row.arm for row in rows} == set(measure_arms.arms(family))
    assert all(row.prompt == texts[row.prompt_index] for row in rows)
    pictures = Counter((row.prompt_index, row.seed) for row in rows)
    assert set(pictures.values()) == {len(measure_arms.arms(family))}
    rounds = len(pictures) // len(texts)
    expected = {(i, measure_arms.seed_of(i, n)) for i in range(len(texts)) for n in range(rounds)}
    assert set(pictures) == expected and rounds >= 1
    assert all(row.quality in (0.0, 1.0) and 0 <= row.parts <= 1 and 0 <= row.cleanness <= 1 for row in rows)
    assert all((row.quality == 1.0) == (row.parts == 1.0) for row in rows)
