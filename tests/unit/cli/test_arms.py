"""Relays as people type them."""

from __future__ import annotations

from typing import get_args

import pytest

from rise_cli import arms
from rise_contracts import configuration, errors, resources


def test_the_full_form_is_taken_as_it_is(family: resources.ModelFamily) -> None:
    stages = arms.parse_fixed("large:6@1.2+finisher:6", family)
    assert configuration.format_arm(stages) == "large:6@1.2+finisher:6"


def test_the_short_form_takes_the_steps_of_the_relay_with_the_nearest_handoff(
    with_relays: resources.ModelFamily,
) -> None:
    assert configuration.format_arm(arms.parse_fixed("large@1.3+finisher", with_relays)) == "large:6@1.3+finisher:5"
    assert configuration.format_arm(arms.parse_fixed("large@2.2+finisher", with_relays)) == "large:3@2.2+finisher:7"


def test_the_short_form_without_a_relay_cuts_the_default_run_by_log_sigma(family: resources.ModelFamily) -> None:
    head, tail = arms.parse_fixed("large@0.66+small", family)
    # ln(14.6 / .66) is half of ln(14.6 / .03), so each side does half of its twenty steps.
    assert (
        (head.steps, tail.steps) == (11, 10) or (head.steps, tail.steps) == (10, 11) or head.steps == tail.steps == 10
    )


@pytest.mark.parametrize("architecture", ["sd3", "flux", "flux2", "wan"])
def test_a_flow_begins_at_infinity_so_any_handoff_is_below(architecture: str, family: resources.ModelFamily) -> None:
    spec = family.spec.model_copy(update={"architecture": architecture})
    stages = arms.parse_fixed("large:6@99+small:6", family.model_copy(update={"spec": spec}))
    assert stages[0].until_sigma == 99
    with pytest.raises(errors.InvalidInput, match="below sigma 14"):
        arms.parse_fixed("large:6@99+small:6", family)


def test_a_member_alone_takes_its_default_steps(family: resources.ModelFamily) -> None:
    assert configuration.format_arm(arms.parse_fixed("large", family)) == "large:20"
    assert configuration.format_arm(arms.parse_fixed("small", family, steps=7)) == "small:7"


def test_total_steps_are_shared_out_in_proportion(with_relays: resources.ModelFamily) -> None:
    head, tail = arms.parse_fixed("large@1.2+finisher", with_relays, steps=22)
    assert (head.steps, tail.steps) == (12, 10)


@pytest.mark.parametrize(("counts", "total"), [([6, 5], 22), ([1, 19], 2), ([19, 1], 2), ([3, 3, 3], 5), ([10, 1], 11)])
def test_a_share_keeps_the_total_and_leaves_nobody_out(counts: list[int], total: int) -> None:
    shares = arms.share(counts, total)
    assert sum(shares) == total
    assert min(shares) >= 1


def test_fewer_steps_than_stages_are_refused() -> None:
    with pytest.raises(errors.InvalidInput, match=r"--steps: wanted at least 2, one per stage, got 1"):
        arms.share([1, 1], 1)


BAD = {
    "an unknown member": ("lagre@1.2+small", "did you mean 'large'?"),
    "no sigma": ("large+small", "a handoff sigma on every stage but the last"),
    "a sigma at the end": ("large:5@1.2", "a handoff sigma on every stage but the last"),
    "a sigma of nought": ("large@0+small", "above 0"),
    "a negative sigma": ("large@-1+small", "wanted"),
    "a sigma that is a word": ("large@abc+small", "wanted"),
    "sigmas that rise": ("large:2@1+small:2@3+finisher:2", "fall"),
    "steps on one stage only": ("large:6@1.2+small", "steps on every stage, or on none"),
    "too many steps": ("large:999@1.2+small:3", "1 to 200 steps"),
    "nothing": ("", "member[:steps][@sigma]"),
    "a finisher alone": ("finisher", "finisher only finishes"),
    "a handoff above what the finisher takes": ("large@5+finisher", "from sigma 2.5 at most, got 5.0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arms_are_told_what_is_wanted(case: str, family: resources.ModelFamily) -> None:
    text, want = BAD[case]
    with pytest.raises(errors.InvalidInput) as caught:
        arms.parse_fixed(text, family)
    assert want in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("architecture", get_args(resources.ModelFamilySpec.model_fields["architecture"].annotation))
def test_a_handoff_lies_below_where_the_noise_of_an_architecture_begins(
    architecture: str, family: resources.ModelFamily
) -> None:
    """A flow begins at pure noise, where sigma has no bound."""
    spec = family.spec.model_copy(update={"architecture": architecture})
    of_that = family.model_copy(update={"spec": spec})
    assert arms.parse_fixed("large:3@14+small:3", of_that)
    top = {"sd": 14.61, "sdxl": 14.61, "pixart": 157.4}.get(architecture)
    above = f"large:3@{200 if top is None else top + 1}+small:3"
    if top is None:
        assert arms.parse_fixed(above, of_that)
    else:
        with pytest.raises(errors.InvalidInput, match="a handoff below sigma"):
            arms.parse_fixed(above, of_that)


def test_steps_twice_are_refused(family: resources.ModelFamily) -> None:
    with pytest.raises(errors.InvalidInput, match="steps in one place"):
        arms.parse_fixed("large:6@1.2+small:6", family, steps=12)


def test_a_comparison_has_both_members_alone_and_the_familys_relays(with_relays: resources.ModelFamily) -> None:
    assert arms.comparison(with_relays) == ["large:20", "small:20", "large:6@1.2+finisher:5", "large:3@2.4+finisher:7"]


def test_without_relays_a_comparison_makes_one_for_each_handoff(family: resources.ModelFamily) -> None:
    found = arms.comparison(family)
    assert [arm.split("+")[-1].split(":")[0] for arm in found[2:]] == ["small", "finisher", "finisher"]
    assert all(arms.parse_fixed(arm, family) for arm in found)


def test_a_comparison_keeps_to_its_size(family: resources.ModelFamily) -> None:
    assert len(arms.comparison(family, most=2)) == 4


def test_arms_are_described_for_people() -> None:
    assert arms.describe("large:20") == "large alone, 20 steps"
    assert arms.brief("large:20") == "large, 20 steps"
    assert arms.brief("large:6@1.2+finisher:6") == "large 6 + finisher 6 at sigma 1.2"
    assert arms.describe("large:1@1.2+finisher:6") == "large 1 step, then finisher 6 below sigma 1.2"
    told = "large 6 steps, then finisher 6 below sigma 1.2, q8 on the wire"
    assert arms.describe("large:6@1.2+finisher:6~q8") == told
    assert arms.brief("large:6@1.2+finisher:6~q8") == "large 6 + finisher 6 at sigma 1.2 in q8"
